"""apps/v1 and the ReplicationController: controllers that keep pods of a template."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from kdist.api import selectors
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import podspec
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.pods import check_template
from kdist.apiserver.registry.podscheduling import check_label_selector
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.validation import causes


class WorkloadStrategy(Strategy):
    """What all of them share: a selector that matches the template and cannot change, a scale."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Defaults of the template; families add their own."""
        podspec.default_template(obj.setdefault("spec", {}).setdefault("template", {}))

    def check(self, obj: Obj) -> list[Cause]:
        """Replica counts, the selector, the template."""
        spec = obj.get("spec") or {}
        found = [
            c for field in ("replicas", "minReadySeconds") for c in not_negative(spec, field, f"spec.{field}")
        ]
        found += check_selector(spec, "spec")
        return found + check_template(spec.get("template") or {}, "spec.template")

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


def check_selector(spec: Obj, field: str) -> list[Cause]:
    """The selector is there, not empty, well formed, and matches the template's labels."""
    selector = spec.get("selector")
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    found: list[Cause] = []
    if selector is None:
        found.append(causes.required(f"{field}.selector"))
    else:
        found += check_label_selector(selector, f"{field}.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            told = "empty selector is invalid for deployment"
            found.append(causes.invalid(f"{field}.selector", selector, told))
    if not found and not selectors.from_label_selector(selector).matches(labels):
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


def _check_rollout(spec: Obj) -> Iterator[Cause]:
    strategy = spec.get("strategy") or {}
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind not in ("Recreate", "RollingUpdate"):
        yield causes.not_supported("spec.strategy.type", kind or "", ("Recreate", "RollingUpdate"))
    elif kind == "Recreate" and rolling is not None:
        told = "may not be specified when strategy `type` is 'Recreate'"
        yield causes.forbidden("spec.strategy.rollingUpdate", told)
    if kind == "RollingUpdate" and rolling is not None:
        where = "spec.strategy.rollingUpdate"
        unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
        yield from check_int_or_percent(unavailable, f"{where}.maxUnavailable")
        yield from check_int_or_percent(surge, f"{where}.maxSurge")
        if _is_zero(unavailable) and _is_zero(surge):
            yield causes.invalid(f"{where}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    yield from not_negative(spec, "revisionHistoryLimit", "spec.revisionHistoryLimit")
    yield from not_negative(spec, "progressDeadlineSeconds", "spec.progressDeadlineSeconds")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        yield causes.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


class ReplicaSetStrategy(WorkloadStrategy):
    """ReplicaSets."""

    initial_status: ClassVar[Obj] = {"replicas": 0}

    def default(self, obj: Obj) -> None:
        """One replica."""
        super().default(obj)
        fill(obj["spec"], replicas=1)


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
        if "template" not in spec:
            return [*found, causes.required("spec.template")]
        return found + check_template(spec["template"], "spec.template")

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Here the selector may change."""
        return []


class StatefulSetStrategy(WorkloadStrategy):
    """StatefulSets."""

    initial_status: ClassVar[Obj] = {"replicas": 0, "availableReplicas": 0}

    def default(self, obj: Obj) -> None:
        """One replica, in order, rolled one by one, volumes kept."""
        super().default(obj)
        spec = obj["spec"]
        fill(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady")
        update = spec.setdefault("updateStrategy", {})
        fill(update, type="RollingUpdate")
        if update["type"] == "RollingUpdate":
            fill(update.setdefault("rollingUpdate", {}), partition=0)
        kept = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
        fill(kept, whenDeleted="Retain", whenScaled="Retain")
        for claim in spec.get("volumeClaimTemplates") or ():
            fill(claim, apiVersion="v1", kind="PersistentVolumeClaim", status={"phase": "Pending"})
            fill(claim.setdefault("spec", {}), volumeMode="Filesystem")

    def check(self, obj: Obj) -> list[Cause]:
        """Order and update strategy as well."""
        found = super().check(obj)
        spec = obj.get("spec") or {}
        policy = spec.get("podManagementPolicy")
        if policy not in ("OrderedReady", "Parallel"):
            told = "must be 'OrderedReady' or 'Parallel'"
            found.append(causes.invalid("spec.podManagementPolicy", policy, told))
        update = (spec.get("updateStrategy") or {}).get("type")
        if update not in ("OnDelete", "RollingUpdate"):
            told = "must be 'RollingUpdate' or 'OnDelete'"
            found.append(causes.invalid("spec.updateStrategy", spec.get("updateStrategy"), told))
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Only what a running set can follow."""
        mutable = {
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        }
        spec, before = new.get("spec") or {}, old.get("spec") or {}
        if all(spec.get(f) == before.get(f) for f in {*spec, *before} - mutable):
            return []
        told = (
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
            "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
            "'minReadySeconds' are forbidden"
        )
        return [causes.forbidden("spec", told)]


class DaemonSetStrategy(WorkloadStrategy):
    """DaemonSets."""

    initial_status: ClassVar[Obj] = {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }

    def default(self, obj: Obj) -> None:
        """Rolled one node at a time."""
        super().default(obj)
        spec = obj["spec"]
        fill(spec, revisionHistoryLimit=10)
        update = spec.setdefault("updateStrategy", {})
        fill(update, type="RollingUpdate")
        if update["type"] == "RollingUpdate":
            fill(update.setdefault("rollingUpdate", {}), maxUnavailable=1, maxSurge=0)

    def check(self, obj: Obj) -> list[Cause]:
        """The update strategy as well."""
        found = super().check(obj)
        update = (obj.get("spec") or {}).get("updateStrategy") or {}
        if update.get("type") not in ("OnDelete", "RollingUpdate"):
            supported = ("OnDelete", "RollingUpdate")
            found.append(causes.not_supported("spec.updateStrategy.type", update.get("type"), supported))
        rolling = update.get("rollingUpdate")
        if rolling and _is_zero(rolling.get("maxUnavailable", 0)) and _is_zero(rolling.get("maxSurge", 0)):
            where = "spec.updateStrategy.rollingUpdate.maxUnavailable"
            found.append(causes.required(where, "cannot be 0 when maxSurge is 0"))
        return found


class ControllerRevisionStrategy(Strategy):
    """ControllerRevisions: written once."""

    def check(self, obj: Obj) -> list[Cause]:
        """A revision number is not negative, and there is data."""
        found = not_negative(obj, "revision", "revision")
        return found if "data" in obj else [*found, causes.required("data", "data is mandatory")]

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The data cannot change."""
        return causes.immutable("data", new.get("data"), old.get("data"))
