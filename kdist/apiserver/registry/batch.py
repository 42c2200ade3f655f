"""batch/v1: Jobs, which run pods to completion, and CronJobs, which make Jobs."""

from __future__ import annotations

import re
import zoneinfo
from copy import deepcopy
from typing import ClassVar

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import podspec
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.pods import check_template
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.registry.workloads import not_negative
from kdist.apiserver.validation import causes

_UID_LABELS = ("batch.kubernetes.io/controller-uid", "controller-uid")
_NAME_LABELS = ("batch.kubernetes.io/job-name", "job-name")
_NUMBERS = (
    "parallelism",
    "completions",
    "backoffLimit",
    "activeDeadlineSeconds",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_FIXED = ("completions", "selector", "template", "completionMode", "podFailurePolicy", "backoffLimitPerIndex")


def default_job_spec(spec: Obj) -> None:
    """Defaults that Jobs and the template of a CronJob share, in place."""
    if spec.get("completions") is None and spec.get("parallelism") is None:
        fill(spec, completions=1)
    fill(spec, parallelism=1, completionMode="NonIndexed", suspend=False)
    per_index = spec.get("backoffLimitPerIndex") is not None
    fill(spec, backoffLimit=2**31 - 1 if per_index else 6)
    policy = spec.get("podFailurePolicy")
    fill(spec, podReplacementPolicy="Failed" if policy else "TerminatingOrFailed")
    podspec.default_template(spec.setdefault("template", {}))


class JobStrategy(Strategy):
    """Jobs."""

    tracks_generation = True
    orphans_by_default: ClassVar[bool] = True

    def default(self, obj: Obj) -> None:
        """Run once, retry six times."""
        spec = obj.setdefault("spec", {})
        default_job_spec(spec)
        labels = (spec["template"].get("metadata") or {}).get("labels")
        if labels and not obj.setdefault("metadata", {}).get("labels"):
            obj["metadata"]["labels"] = dict(labels)

    def prepare_create(self, obj: Obj) -> None:
        """Unless the user brings a selector, pods are selected by the Job's uid."""
        super().prepare_create(obj)
        spec, metadata = obj["spec"], obj["metadata"]
        if spec.get("manualSelector"):
            return
        template = spec["template"].setdefault("metadata", {})
        labels = template.setdefault("labels", {})
        spec.setdefault("manualSelector", False)
        labels.update(dict.fromkeys(_UID_LABELS, metadata.get("uid", "")))
        labels.update(dict.fromkeys(_NAME_LABELS, metadata.get("name", "")))
        selector = spec.setdefault("selector", {}).setdefault("matchLabels", {})
        selector[_UID_LABELS[0]] = metadata.get("uid", "")
        if not metadata.get("labels"):
            metadata["labels"] = dict(labels)

    def check(self, obj: Obj) -> list[Cause]:
        """Numbers, completion mode, template."""
        spec = obj.get("spec") or {}
        found = _check_job_spec(spec, "spec")
        labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
        wanted = (spec.get("selector") or {}).get("matchLabels") or {}
        if any(labels.get(k) != v for k, v in wanted.items()):
            told = "`selector` does not match template `labels`"
            found.append(causes.invalid("spec.template.metadata.labels", labels, told))
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """What runs cannot change; how much runs at a time can."""
        spec, before = new.get("spec") or {}, old.get("spec") or {}
        found: list[Cause] = []
        for field in _FIXED:
            have, had = spec.get(field), before.get(field)
            if field == "template" and before.get("suspend") and have and had:
                have, had = _without_directives(have), _without_directives(had)
            if field == "completions" and spec.get("completionMode") == "Indexed":
                continue
            found += causes.immutable(f"spec.{field}", have, had)
        return found

    def fields(self, obj: Obj) -> dict[str, str]:
        """By success, too."""
        succeeded = (obj.get("status") or {}).get("succeeded", 0)
        return {**super().fields(obj), "status.successful": str(succeeded)}

    def unknown_field(self, label: str) -> str:
        """In words of its own, as upstream does."""
        return f'field label "{label}" not supported for Job'


def _without_directives(template: Obj) -> Obj:
    """The template without what may be steered while the Job is suspended."""
    steered = ("nodeSelector", "affinity", "tolerations", "schedulingGates")
    copy = deepcopy(template)
    copy["spec"] = {k: v for k, v in (copy.get("spec") or {}).items() if k not in steered}
    metadata = {
        k: v for k, v in (copy.pop("metadata", None) or {}).items() if k not in ("labels", "annotations")
    }
    return {**copy, "metadata": metadata}


def _check_job_spec(spec: Obj, field: str) -> list[Cause]:
    found = [c for key in _NUMBERS for c in not_negative(spec, key, f"{field}.{key}")]
    mode = spec.get("completionMode")
    if mode not in ("NonIndexed", "Indexed", None):
        found.append(causes.not_supported(f"{field}.completionMode", mode, ("NonIndexed", "Indexed")))
    if mode == "Indexed" and spec.get("completions") is None:
        found.append(causes.required(f"{field}.completions", "when completion mode is Indexed"))
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
    everything = ("OnFailure", "Never", "Always")
    found += check_template(spec.get("template") or {}, f"{field}.template", everything)
    if policy == "Always":
        where = f"{field}.template.spec.restartPolicy"
        found.append(causes.required(where, 'valid values: "OnFailure", "Never"'))
    return found


class CronJobStrategy(Strategy):
    """CronJobs."""

    tracks_generation = True
    _MAX_NAME = 52

    def default(self, obj: Obj) -> None:
        """Runs may overlap; three good and one failed Job are kept."""
        spec = obj.setdefault("spec", {})
        fill(
            spec,
            concurrencyPolicy="Allow",
            suspend=False,
            successfulJobsHistoryLimit=3,
            failedJobsHistoryLimit=1,
        )
        default_job_template(spec.setdefault("jobTemplate", {}))

    def check(self, obj: Obj) -> list[Cause]:
        """Schedule, time zone, policy, the Job inside."""
        spec = obj.get("spec") or {}
        found = _check_schedule(spec)
        policy, supported = spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace")
        if policy not in supported:
            found.append(causes.not_supported("spec.concurrencyPolicy", policy or "", supported))
        for key in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
            found += not_negative(spec, key, f"spec.{key}")
        job = (spec.get("jobTemplate") or {}).get("spec") or {}
        found += _check_job_spec(job, "spec.jobTemplate.spec")
        name = (obj.get("metadata") or {}).get("name") or ""
        if len(name) > self._MAX_NAME:
            told = f"must be no more than {self._MAX_NAME} characters"
            found.append(causes.invalid("metadata.name", name, told))
        return found


def default_job_template(template: Obj) -> None:
    """Defaults of a JobTemplateSpec: those of its pods; the Job's own come when it is made."""
    spec = template.setdefault("spec", {})
    podspec.default_template(spec.setdefault("template", {}))


_FIELD = r"(\*|\?|[0-9A-Za-z]+)(-[0-9A-Za-z]+)?(/[0-9]+)?"
_FIELDS = re.compile(rf"{_FIELD}(,{_FIELD})*")


def _check_schedule(spec: Obj) -> list[Cause]:
    text = spec.get("schedule") or ""
    if not text:
        return [causes.required("spec.schedule")]
    if "TZ" in text:
        told = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        return [causes.invalid("spec.schedule", text, told)]
    found: list[Cause] = []
    fields = text.split()
    if not text.startswith("@"):
        if len(fields) != 5:
            told = f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
            found.append(causes.invalid("spec.schedule", text, told))
        elif wrong := next((f for f in fields if not _FIELDS.fullmatch(f)), None):
            found.append(causes.invalid("spec.schedule", text, f"failed to parse: {wrong}"))
    zone = spec.get("timeZone")
    if zone is not None:
        try:
            zoneinfo.ZoneInfo(zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # of a name that no file can have
            found.append(causes.invalid("spec.timeZone", zone, f"unknown time zone {zone}"))
    return found
