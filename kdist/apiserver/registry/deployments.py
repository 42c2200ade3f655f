"""Deployments: how many pods, and how a new template is rolled out."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.counts import at_most, check_int_or_percent, is_nothing, not_negative
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.registry.workloads import WorkloadStrategy
from kdist.apiserver.validation import causes


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
            found += at_most(new.get("status") or {}, key, "replicas")
        return found + at_most(new.get("status") or {}, "availableReplicas", "readyReplicas", "readyReplicas")

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
        if is_nothing(unavailable) and is_nothing(surge):
            yield causes.invalid(f"{where}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    yield from not_negative(spec, "revisionHistoryLimit", "spec.revisionHistoryLimit")
    yield from not_negative(spec, "progressDeadlineSeconds", "spec.progressDeadlineSeconds")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        yield causes.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")
