"""How many pods to create, which to delete, and what the status says. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from kdist.api import meta, pods
from kdist.api.meta import Obj
from kdist.controllers.pods import in_order_of_deletion, is_available

# No more pods than this are created or deleted in one go.
BURST = 500


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about the difference between the pods there are and the pods asked for."""

    create: int = 0
    delete: tuple[Obj, ...] = ()


def plan(wanted: int, active: list[Obj], related: Iterable[Obj], now: datetime) -> Plan:
    """Compare; ``related`` are pods of the same workload, for spreading deletions over the nodes."""
    surplus = len(active) - wanted
    if surplus < 0:
        return Plan(create=min(-surplus, BURST))
    if surplus == 0:
        return Plan()
    doomed = active if wanted == 0 else in_order_of_deletion(active, related, now)
    return Plan(delete=tuple(doomed[: min(surplus, BURST)]))


def batches(count: int) -> Iterable[int]:
    """Sizes that add up to ``count``: 1, 2, 4, ... so that a template that fails is not tried 500 times."""
    size = 1
    while count > 0:
        size = min(size, count)
        yield size
        count -= size
        size *= 2


def status(owner: Obj, active: list[Obj], failure: tuple[str, str] | None, now: datetime) -> Obj:
    """The new status; ``failure`` is reason and message of what kept pods from being managed."""
    spec = owner["spec"]
    template_labels = meta.get(spec, "template.metadata.labels", {}).items()
    min_ready = spec.get("minReadySeconds") or 0
    counts = {
        "fullyLabeledReplicas": sum(template_labels <= meta.labels(p).items() for p in active),
        "readyReplicas": sum(pods.is_ready(p) for p in active),
        "availableReplicas": sum(is_available(p, min_ready, now) for p in active),
    }
    new: Obj = {
        "replicas": len(active),
        **{name: count for name, count in counts.items() if count},
        "observedGeneration": meta.get(owner, "metadata.generation", 0),
    }
    if conditions := _conditions(owner, failure, now):
        new["conditions"] = conditions
    return new


def _conditions(owner: Obj, failure: tuple[str, str] | None, now: datetime) -> list[Obj]:
    conditions: list[Obj] = list(meta.get(owner, "status.conditions", ()))
    present = any(c["type"] == "ReplicaFailure" for c in conditions)
    if failure is None:
        return [c for c in conditions if c["type"] != "ReplicaFailure"]
    if present:
        return conditions
    reason, message = failure
    conditions.append(
        {
            "type": "ReplicaFailure",
            "status": "True",
            "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "reason": reason,
            "message": message,
        }
    )
    return conditions
