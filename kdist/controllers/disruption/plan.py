"""The arithmetic of a PodDisruptionBudget. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from kdist.api import meta, pods
from kdist.api.meta import Obj
from kdist.controllers.intstr import scaled

# An eviction that did not lead to a deletion within this time failed: its pod counts again.
EVICTION_TIMEOUT = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Expectation:
    """How many pods there should be, and how many of them healthy."""

    pods: int
    healthy: int


def counts_controllers(budget: Obj) -> bool:
    """Whether the number of pods is what their controllers want, rather than what there is."""
    wanted = meta.get(budget, "spec.minAvailable")
    return meta.get(budget, "spec.maxUnavailable") is not None or isinstance(wanted, str)


def expect(budget: Obj, pod_count: int, scale: int) -> Expectation:
    """The expectation; ``scale`` is the sum of what the pods' controllers want."""
    most = meta.get(budget, "spec.maxUnavailable")
    if most is not None:
        return Expectation(scale, max(0, scale - scaled(most, scale, round_up=True)))
    least = meta.get(budget, "spec.minAvailable")
    if isinstance(least, str):
        return Expectation(scale, scaled(least, scale, round_up=True))
    return Expectation(pod_count, least or 0)


def disrupted(budget: Obj, budget_pods: Iterable[Obj], now: datetime) -> dict[str, str]:
    """Pods whose eviction was granted but whose deletion the cache does not show yet."""
    pending = meta.get(budget, "status.disruptedPods", {})
    here = {meta.name(p) for p in budget_pods if not meta.is_deleting(p)}
    return {
        name: moment
        for name, moment in pending.items()
        if name in here and meta.parse_time(moment) + EVICTION_TIMEOUT > now
    }


def status(budget: Obj, budget_pods: list[Obj], scale: int, now: datetime) -> Obj:
    """The new status."""
    pending = disrupted(budget, budget_pods, now)
    wanted = expect(budget, len(budget_pods), scale)
    healthy = sum(
        pods.is_ready(p) and not meta.is_deleting(p) and meta.name(p) not in pending for p in budget_pods
    )
    allowed = max(0, healthy - wanted.healthy) if wanted.pods > 0 else 0
    told: Obj = {
        "currentHealthy": healthy,
        "desiredHealthy": wanted.healthy,
        "expectedPods": wanted.pods,
        "disruptionsAllowed": allowed,
        "observedGeneration": meta.get(budget, "metadata.generation", 0),
        "conditions": list(meta.get(budget, "status.conditions", ())),
    }
    if pending:
        told["disruptedPods"] = pending
    reason = "SufficientPods" if allowed else "InsufficientPods"
    return {**told, "conditions": _conditions(budget, told, "True" if allowed else "False", reason, now)}


def failed(budget: Obj, message: str, now: datetime) -> Obj:
    """The status when the pods cannot be counted: nothing may be disrupted."""
    told: Obj = {**(budget.get("status") or {}), "disruptionsAllowed": 0}
    told["observedGeneration"] = meta.get(budget, "metadata.generation", 0)
    return {**told, "conditions": _conditions(budget, told, "False", "SyncFailed", now, message)}


def _conditions(
    budget: Obj, told: Obj, value: str, reason: str, now: datetime, message: str = ""
) -> list[Obj]:
    holder: Obj = {"status": {"conditions": [dict(c) for c in told.get("conditions") or ()]}}
    pods.set_condition(
        holder, "DisruptionAllowed", value, reason, message, now.strftime("%Y-%m-%dT%H:%M:%SZ")
    )
    generation = meta.get(budget, "metadata.generation", 0)
    # These are metav1.Conditions: message is required, and they say which generation they judge.
    return [{"message": "", **c, "observedGeneration": generation} for c in holder["status"]["conditions"]]
