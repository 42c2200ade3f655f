"""batch/v1: Jobs, which run pods to completion, and CronJobs, which make Jobs."""

from __future__ import annotations

from copy import deepcopy
from typing import ClassVar

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import cronschedules, jobs, podgates, podspec, podwarnings
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.counts import not_negative
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.validation import causes

_UID_LABELS = ("batch.kubernetes.io/controller-uid", "controller-uid")
_NAME_LABELS = ("batch.kubernetes.io/job-name", "job-name")
_FIXED = (
    "completions",
    "selector",
    "template",
    "completionMode",
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "managedBy",
    "successPolicy",
)


def default_job_spec(spec: Obj) -> None:
    """Defaults that Jobs and the template of a CronJob share, in place."""
    if spec.get("completions") is None and spec.get("parallelism") is None:
        fill(spec, completions=1)
    fill(spec, parallelism=1, completionMode="NonIndexed", suspend=False, manualSelector=False)
    per_index = spec.get("backoffLimitPerIndex") is not None
    fill(spec, backoffLimit=2**31 - 1 if per_index else 6)
    policy = spec.get("podFailurePolicy")
    fill(spec, podReplacementPolicy="Failed" if policy else "TerminatingOrFailed")
    podspec.default_template(spec.setdefault("template", {}))


class JobStrategy(Strategy):
    """Jobs."""

    tracks_generation = True
    orphans_by_default: ClassVar[bool] = True
    careless_deletion = (
        "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove "
        "them or set propagationPolicy=Orphan to suppress this warning"
    )

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
        inherited = bool(template.get("labels")) and metadata.get("labels") == template["labels"]
        labels = template.setdefault("labels", {})
        labels.update(dict.fromkeys(_UID_LABELS, metadata.get("uid", "")))
        labels.update(dict.fromkeys(_NAME_LABELS, metadata.get("name", "")))
        selector = spec.setdefault("selector", {}).setdefault("matchLabels", {})
        selector[_UID_LABELS[0]] = metadata.get("uid", "")
        if inherited:  # the Job's own labels are those of its pods: all of them
            metadata["labels"] = dict(labels)

    def finish_create(self, obj: Obj) -> None:
        """A Job without labels has those of its pods: now the server's, too."""
        if not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(_template_labels(obj["spec"]))

    def check(self, obj: Obj) -> list[Cause]:
        """Numbers, completion mode, template."""
        spec = obj.get("spec") or {}
        found = [*jobs.check_spec(spec, "spec"), *jobs.check_selector(spec)]
        return found + podgates.check(_pod_spec(spec), "spec.template.spec", self.features)

    def validate(self, obj: Obj) -> list[Cause]:
        """A selector that nobody brought is the server's; pods get host names."""
        found = super().validate(obj)
        found += jobs.check_generated(obj, _UID_LABELS, _NAME_LABELS)
        return found + list(jobs.check_indexed_name(obj))

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The server's selector stays the server's; Jobs from before the prefixed labels go without them."""
        found = super().validate_update(new, old)
        had = _template_labels(old["spec"])
        first = 0 if _UID_LABELS[0] in had and _NAME_LABELS[0] in had else 1
        found += jobs.check_generated(new, _UID_LABELS[first:], _NAME_LABELS[first:])
        return found + list(jobs.check_indexed_name(new))

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Indexes only where there are any."""
        return [*super().validate_status_update(new, old), *jobs.check_status(new)]

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """Names that pods inherit, what their template says in vain."""
        told = [] if old else podwarnings.of_name(meta.name(obj), podwarnings.POD_NAMES)
        return told + podwarnings.of_template(
            (obj.get("spec") or {}).get("template") or {}, "spec.template", self.features
        )

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """What runs cannot change; how much runs at a time can."""
        spec, before = new.get("spec") or {}, old.get("spec") or {}
        found: list[Cause] = []
        for field in _FIXED:
            have, had = spec.get(field), before.get(field)
            if field == "template" and _steerable(old) and have and had:
                have, had = _without_directives(have), _without_directives(had)
            if field == "completions" and spec.get("completionMode") == "Indexed":
                found += _completions_in_tandem(spec, before)
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


def _completions_in_tandem(spec: Obj, before: Obj) -> list[Cause]:
    """The completions of an indexed Job change only to what runs at a time."""
    wanted = spec.get("completions")
    if wanted in (None, before.get("completions"), spec.get("parallelism")):
        return []
    told = "can only be modified in tandem with spec.parallelism"
    return [causes.invalid("spec.completions", wanted, told)]


def _steerable(job: Obj) -> bool:
    """Whether the Job waits for a start it never had: where its pods go may change."""
    return bool((job.get("spec") or {}).get("suspend")) and not (job.get("status") or {}).get("startTime")


def _without_directives(template: Obj) -> Obj:
    """The template without what may be steered while the Job is suspended."""
    steered = ("nodeSelector", "tolerations", "schedulingGates")
    copy = deepcopy(template)
    copy["spec"] = {k: v for k, v in (copy.get("spec") or {}).items() if k not in steered}
    affinity = copy["spec"].pop("affinity", None) or {}
    if others := {k: v for k, v in affinity.items() if k != "nodeAffinity"}:
        copy["spec"]["affinity"] = others
    metadata = {
        k: v for k, v in (copy.pop("metadata", None) or {}).items() if k not in ("labels", "annotations")
    }
    return {**copy, "metadata": metadata}


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
        found = list(cronschedules.check(spec))
        policy, supported = spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace")
        if policy not in supported:
            found.append(causes.not_supported("spec.concurrencyPolicy", policy or "", supported))
        for key in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
            found += not_negative(spec, key, f"spec.{key}")
        job = (spec.get("jobTemplate") or {}).get("spec") or {}
        found += jobs.check_spec(job, "spec.jobTemplate.spec")
        found += podgates.check(_pod_spec(job), "spec.jobTemplate.spec.template.spec", self.features)
        if job.get("manualSelector"):
            where = "spec.jobTemplate.spec.manualSelector"
            found.append(causes.not_supported(where, True, ("nil", "false")))
        name = (obj.get("metadata") or {}).get("name") or ""
        if len(name) > self._MAX_NAME:
            told = f"must be no more than {self._MAX_NAME} characters"
            found.append(causes.invalid("metadata.name", name, told))
        return found

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """Names that pods inherit, what their template says in vain."""
        told = [] if old else podwarnings.of_name(meta.name(obj), podwarnings.POD_NAMES)
        template = meta.get(obj, "spec.jobTemplate.spec.template", {})
        return told + podwarnings.of_template(template, "spec.jobTemplate.spec.template", self.features)


def _template_labels(job: Obj) -> dict[str, str]:
    """The labels of the pods that a JobSpec makes."""
    return ((job.get("template") or {}).get("metadata") or {}).get("labels") or {}


def _pod_spec(job: Obj) -> Obj:
    found: Obj = (job.get("template") or {}).get("spec") or {}
    return found


def default_job_template(template: Obj) -> None:
    """Defaults of a JobTemplateSpec: those of its pods; the Job's own come when it is made."""
    spec = template.setdefault("spec", {})
    podspec.default_template(spec.setdefault("template", {}))
