"""ResourceQuotas: what a namespace may use, charged before the object is stored."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from weakref import WeakValueDictionary

from kdist.api import errors, meta, quota
from kdist.api.kinds import Kind
from kdist.apiserver.admission.base import Operation, Plugin, Request, Target
from kdist.apiserver.ports import Obj, Reader, Writer

RESOURCE_QUOTAS = Kind("", "v1", "resourcequotas", "ResourceQuota")
# Another server may charge the same quota at the same moment; each time one of us wins.
ATTEMPTS = 16
# What an update may make more expensive; everything else is charged once.
_GROWING: frozenset[Target] = frozenset(
    {("", "services"), ("", "persistentvolumeclaims"), ("", "pods/resize")}
)


class ResourceQuota(Plugin):
    """Adds the usage of new and growing objects to ``status.used`` of the quotas they fall under.

    The charge is a compare-and-swap on the quota: of two requests for the last pod one gets it. Requests of one
    namespace are charged one after another, so that they do not compete within a server. What is charged for an
    object that then fails to be stored is given back by the controller's next count.
    """

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader, self._writer = reader, writer
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # The newest status of quotas written here, until the cache has caught up: namespace -> name -> quota.
        self._written: defaultdict[str, dict[str, Obj]] = defaultdict(dict)

    def handles(self, target: Target, operation: Operation) -> bool:
        """Creations of everything, updates of what can grow."""
        if operation == "create":
            return "/" not in target[1]
        return operation == "update" and target in _GROWING

    async def validate(self, request: Request) -> None:
        """Charge the request. Forbidden when a quota would be exceeded."""
        if not request.namespace or not self._reader.list(RESOURCE_QUOTAS, request.namespace):
            return
        lock = self._locks.setdefault(request.namespace, asyncio.Lock())
        async with lock:
            quotas = self._current(request.namespace)
            for found in quotas:  # first whether all of them agree: what is charged is not given back here
                charge(request, found)
            for found in quotas:
                await self._charge(request, found)

    def _current(self, namespace: str) -> list[Obj]:
        written, quotas = self._written[namespace], []
        for cached in self._reader.list(RESOURCE_QUOTAS, namespace):
            newer = written.get(meta.name(cached))
            if newer is not None and _revision(newer) <= _revision(cached):
                del written[meta.name(cached)]
                newer = None
            quotas.append(newer or cached)
        if not written:
            del self._written[namespace]
        return sorted(quotas, key=meta.name)

    async def _charge(self, request: Request, found: Obj) -> None:
        for _ in range(ATTEMPTS):
            charged = charge(request, found)
            if charged is None or request.dry_run:
                return
            try:
                stored = await self._writer.update(RESOURCE_QUOTAS, charged, subresource="status")
            except errors.NotFound:
                return  # deleted meanwhile: nothing is limited any more
            except errors.Conflict:
                try:
                    found = await self._writer.get(RESOURCE_QUOTAS, request.namespace, meta.name(found))
                except errors.NotFound:
                    return
                continue
            self._written[request.namespace][meta.name(stored)] = stored
            return
        raise request.forbidden(f"quota {meta.name(found)} is changing too fast, please try again")


def charge(request: Request, found: Obj) -> Obj | None:
    """The quota with the request added to its status; None when it costs nothing. Forbidden beyond the limits."""
    group, plural = request.resource.group, request.resource.plural
    status = found.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    names = quota.limited(group, plural, hard)
    if not names or not quota.in_scope(found, group, plural, request.body):
        return None
    if (group, plural) == ("", "pods") and (silent := quota.unspecified(request.body, names)):
        raise request.forbidden(f"failed quota: {meta.name(found)}: {silent}")
    if unknown := sorted(set(names) - used.keys()):
        raise request.forbidden(
            f"status unknown for quota: {meta.name(found)}, resources: {','.join(unknown)}"
        )
    before = quota.usage(group, plural, request.old) if request.old is not None else {}
    more = quota.increase(quota.usage(group, plural, request.body), before)
    wanted = {name: amount for name, amount in more.items() if name in hard}
    if not wanted:
        return None
    if broken := quota.exceeded(wanted, used, hard):
        raise request.forbidden(
            f"exceeded quota: {meta.name(found)}, requested: {_told(wanted, broken)}, "
            f"used: {_told(used, broken)}, limited: {_told(hard, broken)}"
        )
    return {**found, "status": {**status, "used": {**used, **quota.total((_of(used, wanted), wanted))}}}


def _of(used: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    return {name: used[name] for name in wanted}


def _told(amounts: Mapping[str, str], names: list[str]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in names)


def _revision(obj: Obj) -> int:
    return int(meta.resource_version(obj) or 0)
