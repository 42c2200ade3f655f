"""apps/v1 and the ReplicationController: controllers that keep pods of a template."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from kdist.api import meta, selectors
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import podgates, podspec, podwarnings
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.labelselectors import check_label_selector
from kdist.apiserver.registry.pods import check_template, check_template_metadata
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.enums import one_of


class WorkloadStrategy(Strategy):
    """What all of them share: a selector that matches the template and cannot change, a scale."""

    tracks_generation = True
    #: What is said of a selector that cannot be read, besides what is wrong in it.
    unreadable_selector: ClassVar[str | None] = "invalid label selector"
    #: What has an empty selector, in the words of its refusal; its kind if none.
    kind_of_selector: ClassVar[str] = ""

    def default(self, obj: Obj) -> None:
        """Defaults of the template; families add their own."""
        podspec.default_template(obj.setdefault("spec", {}).setdefault("template", {}))

    def check(self, obj: Obj) -> list[Cause]:
        """Replica counts, the selector, the template."""
        spec = obj.get("spec") or {}
        found = [
            c for field in ("replicas", "minReadySeconds") for c in not_negative(spec, field, f"spec.{field}")
        ]
        kind = self.kind_of_selector or self.resource.kind.lower()
        found += check_selector(spec, "spec", kind, self.unreadable_selector)
        return found + self.check_pods(spec.get("template") or {})

    def check_pods(self, template: Obj) -> list[Cause]:
        """The template of the pods."""
        found = check_template(template, "spec.template")
        return found + podgates.check(template.get("spec") or {}, "spec.template.spec", self.features)

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """Names that pods inherit, what their template says in vain."""
        told = [] if old else podwarnings.of_name(meta.name(obj), podwarnings.POD_NAMES)
        return told + podwarnings.of_template((obj.get("spec") or {}).get("template") or {}, "spec.template")

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The selector cannot change."""
        return causes.immutable(
            "spec.selector", (new.get("spec") or {}).get("selector"), (old.get("spec") or {}).get("selector")
        )

    def scale(self, obj: Obj) -> Obj:
        """Replicas and the selector as text."""
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        selector = spec.get("selector")
        is_map = self.resource.kind == "ReplicationController"
        parsed = selectors.from_labels(selector) if is_map else selectors.from_label_selector(selector)
        metadata = obj["metadata"]
        kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {k: metadata[k] for k in kept if k in metadata},
            "spec": {"replicas": spec["replicas"]} if spec.get("replicas") else {},
            "status": {"replicas": status.get("replicas", 0), "selector": str(parsed)},
        }

    def apply_scale(self, obj: Obj, scale: Obj) -> None:
        """Take the replicas."""
        obj.setdefault("spec", {})["replicas"] = (scale.get("spec") or {}).get("replicas", 0)


def check_scale(scale: Obj) -> list[Cause]:
    """Causes for an autoscaling/v1 Scale."""
    return not_negative(scale.get("spec") or {}, "replicas", "spec.replicas")


def not_negative(obj: Obj, key: str, field: str) -> list[Cause]:
    """A cause when the number is below zero."""
    value = obj.get(key)
    if not isinstance(value, int) or value >= 0:
        return []
    return [causes.invalid(field, value, "must be greater than or equal to 0")]


def check_selector(
    spec: Obj, field: str, kind: str, unreadable: str | None = "invalid label selector"
) -> list[Cause]:
    """The selector is there, not empty, well formed, and matches the template's labels.

    ``unreadable`` is what to add when there are causes for parts of the selector.
    """
    selector = spec.get("selector")
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    found: list[Cause] = []
    if selector is None:
        if unreadable is not None:
            found.append(causes.required(f"{field}.selector"))
    elif wrong := check_label_selector(selector, f"{field}.selector"):
        if unreadable is None:
            return wrong
        return [*wrong, causes.invalid(f"{field}.selector", selector, unreadable)]
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        told = f"empty selector is invalid for {kind}"
        found.append(causes.invalid(f"{field}.selector", selector, told))
    if not selectors.from_label_selector(selector).matches(labels):
        told = "`selector` does not match template `labels`"
        found.append(causes.invalid(f"{field}.template.metadata.labels", labels, told))
    return found


def check_int_or_percent(value: Any, field: str) -> list[Cause]:
    """A count that is not negative, or a percentage up to 100%."""
    if isinstance(value, int):
        return [causes.invalid(field, value, "must be greater than or equal to 0")] if value < 0 else []
    digits = str(value).removesuffix("%")
    if not str(value).endswith("%") or not digits.isdigit():
        told = (
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
            "regex used for validation is '[0-9]+%')"
        )
        return [causes.invalid(field, value, told)]
    return [causes.invalid(field, value, "must not be greater than 100%")] if int(digits) > 100 else []


def _is_zero(value: Any) -> bool:
    return str(value).removesuffix("%") == "0"


class DeploymentStrategy(WorkloadStrategy):
    """Deployments."""

    status_keeps = ("labels",)

    def default(self, obj: Obj) -> None:
        """One replica, rolled 25% at a time, ten revisions kept, ten minutes to make progress."""
        super().default(obj)
        spec = obj["spec"]
        fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
        strategy = spec.setdefault("strategy", {})
        fill(strategy, type="RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            fill(strategy.setdefault("rollingUpdate", {}), maxUnavailable="25%", maxSurge="25%")

    def check(self, obj: Obj) -> list[Cause]:
        """The rollout as well."""
        return [*super().check(obj), *_check_rollout(obj.get("spec") or {})]

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Parts are not more than the whole."""
        found = super().validate_status_update(new, old)
        for key in ("updatedReplicas", "readyReplicas", "availableReplicas"):
            found += _at_most(new.get("status") or {}, key, "replicas")
        return found + _at_most(
            new.get("status") or {}, "availableReplicas", "readyReplicas", "readyReplicas"
        )

    def count_generation(self, new: Obj, old: Obj) -> None:
        """Annotations are part of what a rollout is about."""
        super().count_generation(new, old)
        if meta.annotations(new) != meta.annotations(old) and new["metadata"]["generation"] == old[
            "metadata"
        ].get("generation"):
            new["metadata"]["generation"] += 1


def _check_rollout(spec: Obj) -> Iterator[Cause]:
    strategy = spec.get("strategy") or {}
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind not in ("Recreate", "RollingUpdate"):
        yield causes.not_supported("spec.strategy", strategy, ("Recreate", "RollingUpdate"))
    elif kind == "Recreate" and rolling is not None:
        told = "may not be specified when strategy `type` is 'Recreate'"
        yield causes.forbidden("spec.strategy.rollingUpdate", told)
    if kind == "RollingUpdate" and rolling is not None:
        where = "spec.strategy.rollingUpdate"
        unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
        yield from check_int_or_percent(unavailable, f"{where}.maxUnavailable")
        yield from check_int_or_percent(surge, f"{where}.maxSurge")
        if _is_nothing(unavailable) and _is_nothing(surge):
            yield causes.invalid(f"{where}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    yield from not_negative(spec, "revisionHistoryLimit", "spec.revisionHistoryLimit")
    yield from not_negative(spec, "progressDeadlineSeconds", "spec.progressDeadlineSeconds")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        yield causes.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


class ReplicaSetStrategy(WorkloadStrategy):
    """ReplicaSets."""

    initial_status: ClassVar[Obj] = {"replicas": 0}
    kind_of_selector = "deployment"  # what upstream tells of an empty one here, too

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """No count is negative, or more than there are."""
        return [*super().validate_status_update(new, old), *_counts(new.get("status") or {})]

    def default(self, obj: Obj) -> None:
        """One replica."""
        super().default(obj)
        fill(obj["spec"], replicas=1)


def _counts(status: Obj) -> Iterator[Cause]:
    counts = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    for field in (*counts, "observedGeneration"):
        yield from not_negative(status, field, f"status.{field}")
    every, ready = status.get("replicas", 0), status.get("readyReplicas", 0)
    for field in counts[1:]:
        if (count := status.get(field, 0)) > every:
            yield causes.invalid(f"status.{field}", count, "cannot be greater than status.replicas")
    if (available := status.get("availableReplicas", 0)) > ready:
        yield causes.invalid("status.availableReplicas", available, "cannot be greater than readyReplicas")


class ReplicationControllerStrategy(ReplicaSetStrategy):
    """ReplicationControllers: a label map for a selector, taken from the template when missing."""

    orphans_by_default: ClassVar[bool] = True

    def fields(self, obj: Obj) -> dict[str, str]:
        """By the number of replicas, too."""
        replicas = (obj.get("status") or {}).get("replicas", 0)
        return {**super().fields(obj), "status.replicas": str(replicas)}

    def default(self, obj: Obj) -> None:
        """Selector and labels come from the template."""
        super().default(obj)
        spec = obj["spec"]
        labels = (spec["template"].get("metadata") or {}).get("labels")
        if labels:
            fill(spec, selector=dict(labels))
            if not obj.setdefault("metadata", {}).get("labels"):
                obj["metadata"]["labels"] = dict(labels)

    def check(self, obj: Obj) -> list[Cause]:
        """The selector is a map here."""
        spec = obj.get("spec") or {}
        found = not_negative(spec, "replicas", "spec.replicas")
        found += not_negative(spec, "minReadySeconds", "spec.minReadySeconds")
        selector = spec.get("selector") or {}
        labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
        if not selector:
            found.append(causes.required("spec.selector"))
        elif not selectors.from_labels(selector).matches(labels):
            told = "`selector` does not match template `labels`"
            found.append(causes.invalid("spec.template.metadata.labels", labels, told))
        if not any((spec.get("template") or {}).values()):
            return [*found, causes.required("spec.template")]
        return found + self.check_pods(spec["template"])

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Here the selector may change."""
        return []


class StatefulSetStrategy(WorkloadStrategy):
    """StatefulSets. What is in their pods is judged when they are made."""

    unreadable_selector = ""
    name_rule = staticmethod(names.dns_label_of_host)
    initial_status: ClassVar[Obj] = {"replicas": 0, "availableReplicas": 0}

    def default(self, obj: Obj) -> None:
        """One replica, in order, rolled one by one, volumes kept."""
        super().default(obj)
        spec = obj["spec"]
        fill(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady")
        update = spec.setdefault("updateStrategy", {})
        given = dict(update)
        fill(update, type="RollingUpdate")
        if given == {} or "rollingUpdate" in update:
            fill(update.setdefault("rollingUpdate", {}), partition=0)
            if self.features("MaxUnavailableStatefulSet"):
                fill(update["rollingUpdate"], maxUnavailable=1)
        kept = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
        fill(kept, whenDeleted="Retain", whenScaled="Retain")
        for claim in spec.get("volumeClaimTemplates") or ():
            fill(claim, apiVersion="v1", kind="PersistentVolumeClaim")
            fill(claim.setdefault("spec", {}), volumeMode="Filesystem")
            claim["status"] = {**(claim.get("status") or {}), "phase": "Pending"}

    def missing(self, obj: Obj) -> list[Cause]:
        """Not in the pods."""
        return [c for c in super().missing(obj) if not c.field.startswith("spec.template.spec.")]

    def check_pods(self, template: Obj) -> list[Cause]:
        """Labels, annotations and the restart policy."""
        found = check_template_metadata(template, "spec.template")
        policy = (template.get("spec") or {}).get("restartPolicy")
        if policy and policy != "Always":
            where = "spec.template.spec.restartPolicy"
            found.append(causes.not_supported(where, policy, ("Always",)))
        return found

    def check(self, obj: Obj) -> list[Cause]:
        """Order and update strategy as well."""
        found = super().check(obj)
        spec = obj.get("spec") or {}
        policy = spec.get("podManagementPolicy")
        if policy not in ("OrderedReady", "Parallel"):
            told = "must be 'OrderedReady' or 'Parallel'"
            found.append(causes.invalid("spec.podManagementPolicy", policy, told))
        found += _check_set_update(spec.get("updateStrategy") or {})
        kept = spec.get("persistentVolumeClaimRetentionPolicy") or {}
        for key in ("whenDeleted", "whenScaled"):
            found += one_of(kept, key, "spec.persistentVolumeClaimRetentionPolicy", ("Retain", "Delete"))
        return found + not_negative(spec.get("ordinals") or {}, "start", "spec.ordinals.start")

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Parts are not more than the whole."""
        found = super().validate_status_update(new, old)
        status = new.get("status") or {}
        for key in ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"):
            found += _at_most(status, key, "replicas")
        return found + _at_most(status, "availableReplicas", "readyReplicas")

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Only what a running set can follow."""
        mutable = {
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        }
        spec, before = new.get("spec") or {}, old.get("spec") or {}
        if all(spec.get(f) == before.get(f) for f in {*spec, *before} - mutable):
            return []
        told = (
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
            "'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        )
        return [causes.forbidden("spec", told)]


def _at_most(status: Obj, key: str, limit: str, told: str = "") -> list[Cause]:
    count = status.get(key) or 0
    if count <= (status.get(limit) or 0):
        return []
    return [causes.invalid(f"status.{key}", count, f"cannot be greater than {told or f'status.{limit}'}")]


def _check_set_update(update: Obj) -> list[Cause]:
    kind, rolling, where = update.get("type") or "", update.get("rollingUpdate"), "spec.updateStrategy"
    if not kind:
        return [causes.required(where)]
    if kind not in ("OnDelete", "RollingUpdate"):
        return [causes.invalid(where, update, "must be 'RollingUpdate' or 'OnDelete'")]
    if kind == "OnDelete" and rolling is not None:
        told = "only allowed for updateStrategy 'RollingUpdate'"
        return [causes.invalid(f"{where}.rollingUpdate", rolling, told)]
    found = not_negative(rolling or {}, "partition", f"{where}.rollingUpdate.partition")
    if (unavailable := (rolling or {}).get("maxUnavailable")) is not None:
        found += check_int_or_percent(unavailable, f"{where}.rollingUpdate.maxUnavailable")
        if unavailable in (0, "0%"):
            found.append(causes.invalid(f"{where}.rollingUpdate.maxUnavailable", unavailable, "cannot be 0"))
    return found


class DaemonSetStrategy(WorkloadStrategy):
    """DaemonSets."""

    unreadable_selector = None
    initial_status: ClassVar[Obj] = {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }

    def default(self, obj: Obj) -> None:
        """Rolled one node at a time."""
        super().default(obj)
        if TEMPLATE_COUNT not in meta.annotations(obj):
            _count_template({"metadata": obj.setdefault("metadata", {})}, 0)
        spec = obj["spec"]
        fill(spec, revisionHistoryLimit=10)
        update = spec.setdefault("updateStrategy", {})
        fill(update, type="RollingUpdate")
        if update["type"] == "RollingUpdate":
            fill(update.setdefault("rollingUpdate", {}), maxUnavailable=1, maxSurge=0)

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """Only of the template: pods get names of their own."""
        return podwarnings.of_template((obj.get("spec") or {}).get("template") or {}, "spec.template")

    def prepare_create(self, obj: Obj) -> None:
        """Templates are counted, where clients of an older version look for it."""
        super().prepare_create(obj)
        _count_template(obj, max(_template_count(obj), 1))

    def prepare_update(self, new: Obj, old: Obj) -> None:
        """Another template is the next one."""
        super().prepare_update(new, old)
        count = _template_count(old)
        changed = (new.get("spec") or {}).get("template") != (old.get("spec") or {}).get("template")
        _count_template(new, count + 1 if changed else count)

    def check(self, obj: Obj) -> list[Cause]:
        """The update strategy as well."""
        found = super().check(obj)
        spec = obj.get("spec") or {}
        found += not_negative(spec, "revisionHistoryLimit", "spec.revisionHistoryLimit")
        update = spec.get("updateStrategy") or {}
        if update.get("type") not in ("OnDelete", "RollingUpdate"):
            supported = ("RollingUpdate", "OnDelete")
            found.append(causes.not_supported("spec.updateStrategy", update, supported))
        if update.get("type") == "RollingUpdate" and (rolling := update.get("rollingUpdate")) is not None:
            found += _check_daemon_rollout(rolling, "spec.updateStrategy.rollingUpdate")
        return found


TEMPLATE_COUNT = "deprecated.daemonset.template.generation"


def _template_count(obj: Obj) -> int:
    text = meta.annotations(obj).get(TEMPLATE_COUNT, "")
    return int(text) if text.isdigit() else 0


def _count_template(obj: Obj, count: int) -> None:
    obj["metadata"]["annotations"] = {**meta.annotations(obj), TEMPLATE_COUNT: str(count)}


def _check_daemon_rollout(rolling: Obj, where: str) -> Iterator[Cause]:
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    for key, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        yield from check_int_or_percent(value, f"{where}.{key}")
    if not _is_nothing(unavailable) and not _is_nothing(surge):
        yield causes.invalid(f"{where}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")
    if _is_nothing(unavailable) and _is_nothing(surge):
        yield causes.required(f"{where}.maxUnavailable", "cannot be 0 when maxSurge is 0")


def _is_nothing(value: Any) -> bool:
    """Whether a count comes to none: also what cannot be read."""
    return _is_zero(value) or (isinstance(value, str) and not value.removesuffix("%").isdigit())


class ControllerRevisionStrategy(Strategy):
    """ControllerRevisions: written once."""

    checks_required = False

    def check(self, obj: Obj) -> list[Cause]:
        """A revision number is not negative, and there is data."""
        return not_negative(obj, "revision", "revision")

    def check_create(self, obj: Obj) -> list[Cause]:
        """The data is an object."""
        if "data" not in obj:
            return [causes.required("data", "data is mandatory")]
        if not isinstance(obj["data"], dict):
            return [causes.required("data", "data must be a valid JSON object")]
        return []

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The data cannot change."""
        if new.get("data") == old.get("data"):
            return []
        return [causes.invalid("data", new.get("data") or {}, causes.IMMUTABLE)]
