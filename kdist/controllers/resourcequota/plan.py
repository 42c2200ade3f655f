"""The status of a ResourceQuota from the objects of its namespace. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from kdist.api import meta, quantity, quota
from kdist.api.meta import Obj

# (group, plural)
Coordinates = tuple[str, str]


def resources(quotas: Iterable[Obj]) -> set[Coordinates]:
    """What has to be counted."""
    names = {name for one in quotas for name in meta.get(one, "spec.hard", {})}
    return {found for name in names if (found := quota.resource_of(name)) is not None}


def status(one: Obj, objects: Mapping[Coordinates, Iterable[Obj]], now: datetime) -> Obj:
    """What the quota's status should be; names of resources that are not in ``objects`` have no usage."""
    hard = dict(meta.get(one, "spec.hard", {}))
    used: dict[str, str] = {}
    for group, plural in objects:
        names = quota.limited(group, plural, hard)
        if not names:
            continue
        counted = (
            quota.usage(group, plural, obj, now)
            for obj in objects[group, plural]
            if quota.in_scope(one, group, plural, obj)
        )
        used.update(dict.fromkeys(names, "0") | _only(names, quota.total(counted)))
    return {"hard": hard, "used": used} if hard else {}


def _only(names: Iterable[str], usage: Mapping[str, str]) -> dict[str, str]:
    return {name: usage[name] for name in names if name in usage}


def differs(one: Obj, wanted: Obj) -> bool:
    """Whether the quota's status means something else than the wanted one."""
    present = one.get("status") or {}
    return any(_exact(present.get(f)) != _exact(wanted.get(f)) for f in ("hard", "used"))


def _exact(amounts: Mapping[str, str] | None) -> dict[str, object]:
    return {name: quantity.parse(amount) for name, amount in (amounts or {}).items()}


def shrinks(group: str, plural: str, old: Obj | None, new: Obj | None, now: datetime) -> bool:
    """Whether a change gives something back: what grows is charged by admission already."""
    if old is None:
        return False
    if new is None:
        return True
    before, after = quota.usage(group, plural, old, now), quota.usage(group, plural, new, now)
    return bool(quota.increase(before, after))
