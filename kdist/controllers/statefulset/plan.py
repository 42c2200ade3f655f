"""What a StatefulSet does next, pod by pod. Pure.

OrderedReady goes one at a time: up from the first ordinal while every predecessor is healthy, down from the last.
Parallel creates and deletes at once, but updates one by one as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from kdist.api import meta, pods
from kdist.api.meta import Obj
from kdist.controllers.intstr import scaled
from kdist.controllers.pods import is_available
from kdist.controllers.revisions import REVISION_LABEL
from kdist.controllers.statefulset import identity


@dataclass(slots=True)
class Plan:
    """Ordinals to create (with the revision's name), pods to delete, to mend, and pods of the past."""

    create: list[tuple[int, str]] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)
    mend: list[Obj] = field(default_factory=list)
    condemned: list[Obj] = field(default_factory=list)


def is_ordered(stateful_set: Obj) -> bool:
    """Whether pods wait for their predecessors."""
    return bool(meta.get(stateful_set, "spec.podManagementPolicy") != "Parallel")


def partition(stateful_set: Obj) -> int:
    """Ordinals (from the first one) below this keep the current revision."""
    return int(meta.get(stateful_set, "spec.updateStrategy.rollingUpdate.partition", 0))


def revision_of(pod: Obj) -> str:
    """The name of the revision that a pod was made from."""
    return meta.labels(pod).get(REVISION_LABEL, "")


def is_rolling(stateful_set: Obj) -> bool:
    """Whether pods are replaced by us, rather than when a user deletes them."""
    return bool(meta.get(stateful_set, "spec.updateStrategy.type") != "OnDelete")


def revision_for(stateful_set: Obj, number: int, current: str, update: str) -> str:
    """The revision that a pod of this ordinal is created from."""
    if not is_rolling(stateful_set):
        return update
    return current if number < identity.first(stateful_set) + partition(stateful_set) else update


def next_step(stateful_set: Obj, set_pods: list[Obj], current: str, update: str, now: datetime) -> Plan:
    """The next step."""
    plan, ordered = Plan(), is_ordered(stateful_set)
    by_ordinal = {n: p for p in set_pods if (n := identity.ordinal(stateful_set, p)) is not None}
    wanted = identity.ordinals(stateful_set)
    plan.condemned = [p for n, p in sorted(by_ordinal.items(), reverse=True) if n not in wanted]
    for number in wanted:
        pod = by_ordinal.get(number)
        settled = _settle(stateful_set, number, pod, plan, (current, update), now)
        if ordered and not settled:
            return plan
    if _scale_down(stateful_set, plan, ordered, now):
        return plan
    if is_rolling(stateful_set) and not (plan.create or plan.delete):
        _roll(stateful_set, by_ordinal, update, plan, now)
    return plan


def _settle(
    stateful_set: Obj, number: int, pod: Obj | None, plan: Plan, names: tuple[str, str], now: datetime
) -> bool:
    """Plan for one ordinal; whether its successor may be looked at."""
    if pod is None:
        plan.create.append((number, revision_for(stateful_set, number, *names)))
        return False
    if meta.is_deleting(pod):
        return False
    if pods.is_terminal(pod):
        plan.delete.append(pod)
        return False
    if not identity.matches(stateful_set, pod):
        plan.mend.append(pod)
    return is_healthy(stateful_set, pod, now)


def is_healthy(stateful_set: Obj, pod: Obj, now: datetime) -> bool:
    """Running, ready for minReadySeconds, and not on its way out."""
    min_ready = meta.get(stateful_set, "spec.minReadySeconds", 0)
    running = meta.get(pod, "status.phase") == "Running" and not meta.is_deleting(pod)
    return running and is_available(pod, min_ready, now)


def _scale_down(stateful_set: Obj, plan: Plan, ordered: bool, now: datetime) -> bool:
    """Plan for pods beyond the size; whether updates have to wait.

    In order, the last one goes first. A sick one waits while a predecessor is sick as well: then something is
    wrong with more than this pod, and taking members away would make it worse. Those that stay are healthy.
    """
    if not plan.condemned:
        return False
    if not ordered:
        plan.delete += [p for p in plan.condemned if not meta.is_deleting(p)]
        return True
    last, *before = plan.condemned
    sick = [not is_healthy(stateful_set, p, now) for p in (last, *before)]
    if not meta.is_deleting(last) and not (sick[0] and any(sick[1:])):
        plan.delete.append(last)
    return True


def _roll(stateful_set: Obj, by_ordinal: dict[int, Obj], update: str, plan: Plan, now: datetime) -> None:
    lowest = identity.first(stateful_set) + partition(stateful_set)
    amount = meta.get(stateful_set, "spec.updateStrategy.rollingUpdate.maxUnavailable", None)
    wanted = meta.get(stateful_set, "spec.replicas", 1)
    allowed = max(1, scaled(amount, wanted, round_up=False, default=1))
    for number in reversed(identity.ordinals(stateful_set)):
        pod = by_ordinal.get(number)
        if number < lowest or pod is None or not allowed:
            return
        outdated = revision_of(pod) != update and not meta.is_deleting(pod)
        if outdated:
            plan.delete.append(pod)
        if outdated or not is_healthy(stateful_set, pod, now):
            allowed -= 1


def status(stateful_set: Obj, set_pods: list[Obj], current: str, update: str, now: datetime) -> Obj:
    """The new status; when every pod is of the update revision and ready, that one becomes the current one."""
    before, spec = stateful_set.get("status") or {}, stateful_set["spec"]
    min_ready = meta.get(stateful_set, "spec.minReadySeconds", 0)
    living = [p for p in set_pods if not pods.is_terminal(p)]
    ready = [p for p in living if meta.get(p, "status.phase") == "Running" and pods.is_ready(p)]
    staying = [p for p in living if not meta.is_deleting(p)]
    updated = sum(revision_of(p) == update for p in staying)
    in_current = sum(revision_of(p) == current for p in staying)
    wanted = spec.get("replicas", 1)
    if (
        is_rolling(stateful_set)
        and updated == wanted == len(living) == len(ready)
        and not partition(stateful_set)
    ):
        current, in_current = update, updated
    numbers = {
        "readyReplicas": len(ready),
        "currentReplicas": in_current,
        "updatedReplicas": updated,
        "collisionCount": before.get("collisionCount") or 0,
    }
    told: Obj = {
        "observedGeneration": meta.get(stateful_set, "metadata.generation", 0),
        "replicas": len(living),
        "availableReplicas": sum(is_available(p, min_ready, now) for p in ready),
        "currentRevision": current,
        "updateRevision": update,
        **{name: number for name, number in numbers.items() if number},
        "collisionCount": numbers["collisionCount"],
    }
    if before.get("conditions"):
        told["conditions"] = before["conditions"]
    return told
