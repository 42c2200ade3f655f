"""Copies of exactly those collections that quotas limit: most clusters limit few kinds of objects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from kdist.api import meta
from kdist.api.kinds import PERSISTENT_VOLUME_CLAIMS, PODS, SERVICES, Kind
from kdist.api.meta import Obj
from kdist.client.informer import Informer
from kdist.client.rest import Client
from kdist.controllers.discovery import discover
from kdist.controllers.resourcequota.plan import Coordinates

# Of all others only the number matters.
_READ_WHOLE = {("", kind.plural): kind for kind in (PODS, SERVICES, PERSISTENT_VOLUME_CLAIMS)}

Tell = Callable[[Coordinates, Obj | None, Obj | None], None]


def names_only(obj: Obj) -> Obj:
    """All that counting needs."""
    about = obj["metadata"]
    return {"metadata": {f: about[f] for f in ("name", "namespace", "resourceVersion") if f in about}}


class Tally:
    """One informer per counted resource, started and stopped as quotas come and go."""

    def __init__(self, client: Client, tell: Tell, whole: Callable[[Kind], Informer]) -> None:
        self._client, self._tell, self._whole = client, tell, whole
        self._shared: dict[Coordinates, Informer] = {}
        self._own: dict[Coordinates, tuple[Informer, asyncio.Task[None]]] = {}
        self._wanted: set[Coordinates] = set()
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Own the informers until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.Event().wait()

    async def follow(self, wanted: Iterable[Coordinates]) -> None:
        """Count these from now on, and no others. Raises ApiError or Unreachable when discovery fails."""
        self._wanted = set(wanted)
        for at in self._wanted & _READ_WHOLE.keys() - self._shared.keys():
            self._shared[at] = informer = self._whole(_READ_WHOLE[at])
            self._listen(at, informer)
        for at in self._own.keys() - self._wanted:
            self._own.pop(at)[1].cancel()
        if missing := self._wanted - self._shared.keys() - self._own.keys():
            await self._start(missing)

    async def _start(self, missing: set[Coordinates]) -> None:
        served = {(s.kind.group, s.kind.plural): s for s in (await discover(self._client)).resources}
        for at in missing & served.keys() - self._own.keys():
            kind = served[at].kind
            if not kind.namespaced or not {"list", "watch"} <= served[at].verbs or self._group is None:
                continue
            informer = Informer(self._client, kind, metadata_only=True, transform=names_only)
            self._listen(at, informer)
            task = self._group.create_task(informer.run(), name=f"quota-{kind.plural}.{kind.group}")
            self._own[at] = (informer, task)

    def _listen(self, at: Coordinates, informer: Informer) -> None:
        informer.add_handler(lambda old, new: self._tell(at, old, new))

    def _informer(self, at: Coordinates) -> Informer | None:
        return self._shared.get(at) or (self._own[at][0] if at in self._own else None)

    def ready(self, wanted: Iterable[Coordinates]) -> bool:
        """Whether all of these that are served have been listed."""
        return all(informer.synced for at in wanted if (informer := self._informer(at)) is not None)

    def objects(self, wanted: Iterable[Coordinates], namespace: str) -> dict[Coordinates, list[Obj]]:
        """The namespace's objects of each resource that is served."""
        found = {at: informer for at in wanted if (informer := self._informer(at)) is not None}
        return {at: informer.list(namespace) for at, informer in found.items()}


def namespace_of(old: Obj | None, new: Obj | None) -> str:
    """Where a change happened."""
    return meta.namespace(new or old or {})
