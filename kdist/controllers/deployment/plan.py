"""How large each ReplicaSet of a Deployment should be next. Pure.

A rolling update keeps two promises at every step: never more than replicas + maxSurge pods, never fewer than
replicas - maxUnavailable available ones. Sizes are planned from the ReplicaSets' spec and status; pods that are
not available may go first, since nobody misses them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.controllers.deployment import revisions
from kdist.controllers.intstr import scaled

# ReplicaSets to resize: uid -> new size.
Sizes = dict[str, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """The Deployment's numbers, percentages resolved."""

    wanted: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        """Pods that may exist."""
        return self.wanted + self.surge

    @property
    def least(self) -> int:
        """Pods that must be available."""
        return self.wanted - self.unavailable


def limits(deployment: Obj) -> Limits:
    """Resolve surge (rounded up) and unavailable (rounded down); both zero would be a standstill."""
    wanted = meta.get(deployment, "spec.replicas", 1)
    if is_recreate(deployment):
        return Limits(wanted, 0, 0)
    rolling = meta.get(deployment, "spec.strategy.rollingUpdate", {})
    surge = scaled(rolling.get("maxSurge"), wanted, round_up=True)
    unavailable = scaled(rolling.get("maxUnavailable"), wanted, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Limits(wanted, surge, min(unavailable, wanted))


def is_recreate(deployment: Obj) -> bool:
    """Whether all old pods go before the first new one comes."""
    return bool(meta.get(deployment, "spec.strategy.type") == "Recreate")


def size(replica_set: Obj) -> int:
    """spec.replicas."""
    return int(meta.get(replica_set, "spec.replicas", 1))


def available(replica_set: Obj) -> int:
    """status.availableReplicas."""
    return int(meta.get(replica_set, "status.availableReplicas", 0))


def total(sets: list[Obj]) -> int:
    """The sizes added up."""
    return sum(size(s) for s in sets)


def new_size(limit: Limits, recreate: bool, new: Obj | None, sets: list[Obj]) -> int:
    """How large the new ReplicaSet may be now."""
    now = size(new) if new else 0
    if recreate or now > limit.wanted:
        return limit.wanted
    room = limit.most - total(sets)
    return now + max(0, min(room, limit.wanted - now))


def rolling_step(limit: Limits, new: Obj, old: list[Obj]) -> Sizes:
    """The next step of a rolling update: first let the new grow, else let the old shrink."""
    grown = new_size(limit, False, new, [new, *old])
    if grown != size(new):
        return {meta.uid(new): grown}
    return _shrink(limit, new, old)


def _shrink(limit: Limits, new: Obj, old: list[Obj]) -> Sizes:
    # Pods of the new ReplicaSet that are not available yet may fail: what they would replace has to stay.
    spare = total([new, *old]) - limit.least - (size(new) - available(new))
    if spare <= 0:
        return {}
    sizes = {meta.uid(s): size(s) for s in old}
    _drop_unavailable(sizes, revisions.by_age(old), spare)
    spare = sum(available(s) for s in [new, *old]) - limit.least
    for replica_set in revisions.by_age(old):
        if spare <= 0:
            break
        drop = min(spare, sizes[meta.uid(replica_set)])
        sizes[meta.uid(replica_set)] -= drop
        spare -= drop
    return {uid: n for uid, n in sizes.items() if any(meta.uid(s) == uid and size(s) != n for s in old)}


def _drop_unavailable(sizes: Sizes, old: list[Obj], spare: int) -> None:
    for replica_set in old:
        drop = max(0, min(spare, size(replica_set) - available(replica_set)))
        sizes[meta.uid(replica_set)] -= drop
        spare -= drop


def needs_scaling(deployment: Obj, sets: list[Obj]) -> bool:
    """Whether spec.replicas changed since the ReplicaSets were sized: that is not a rollout."""
    wanted = str(meta.get(deployment, "spec.replicas", 1))
    told = (meta.annotations(s).get(revisions.DESIRED) for s in sets if size(s) > 0)
    return any(desired is not None and desired != wanted for desired in told)


def scaling_step(deployment: Obj, limit: Limits, new: Obj | None, old: list[Obj]) -> Sizes:
    """Sizes after a change of spec.replicas: one active set takes all, several share in proportion."""
    sets = [s for s in [*old, *([new] if new else [])] if size(s) > 0]
    if len(sets) <= 1:
        only = sets[0] if sets else new or (revisions.by_age(old)[-1] if old else None)
        return {meta.uid(only): limit.wanted} if only and size(only) != limit.wanted else {}
    if new and _is_saturated(new, limit):
        return {meta.uid(s): 0 for s in old if size(s) > 0}
    if is_recreate(deployment):
        return {}
    return _proportional(deployment, limit, sets)


def _is_saturated(new: Obj, limit: Limits) -> bool:
    desired = meta.annotations(new).get(revisions.DESIRED) == str(limit.wanted)
    return desired and size(new) == limit.wanted and available(new) == limit.wanted


def _proportional(deployment: Obj, limit: Limits, sets: list[Obj]) -> Sizes:
    allowed = limit.most if limit.wanted > 0 else 0
    to_add = allowed - total(sets)
    # The largest first; of equals the newer gains first and the older loses first.
    ordered = revisions.by_age(sets)
    if to_add > 0:
        ordered.reverse()
    ordered.sort(key=size, reverse=True)
    sizes, added = {}, 0
    for replica_set in ordered:
        share = _share(deployment, limit, replica_set, to_add - added) if to_add else 0
        sizes[meta.uid(replica_set)] = size(replica_set) + share
        added += share
    first = meta.uid(ordered[0])
    sizes[first] = max(0, sizes[first] + to_add - added)
    return sizes


def _share(deployment: Obj, limit: Limits, replica_set: Obj, left: int) -> int:
    """The part of what is ``left`` to add (or, negative, to remove) that falls to one ReplicaSet."""
    if not left:
        return 0
    fraction = -size(replica_set)
    if limit.wanted:
        text = meta.annotations(replica_set).get(revisions.MAX, "")
        before = int(text) if text.isdigit() else meta.get(deployment, "status.replicas", 0)
        exact = size(replica_set) * limit.most / before if before else size(replica_set)
        fraction = math.floor(exact + 0.5) - size(replica_set)
    return min(fraction, left) if left > 0 else max(fraction, left)


def old_pods_run(new: Obj | None, old: list[Obj], pods: list[Obj]) -> bool:
    """Whether a Recreate has to wait: some pod of an old ReplicaSet has not ended yet."""
    if any(meta.get(s, "status.replicas", 0) for s in old):
        return True
    keep = meta.uid(new) if new else ""
    return any(
        (meta.controller_of(p) or {}).get("uid") != keep
        and meta.get(p, "status.phase") not in ("Failed", "Succeeded")
        for p in pods
    )
