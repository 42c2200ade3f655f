"""The APIServices of what this server serves itself: built-in groups once at the start, custom ones always.

An APIService with the label ``kube-aggregator.kubernetes.io/automanaged`` is ours. One without it is a
user's: it stays as it is, even when it takes a group and version away from this server.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kdist.api import meta
from kdist.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kdist.api.meta import Obj
from kdist.apiserver.aggregation import priorities
from kdist.apiserver.aggregation.backends import API_SERVICES
from kdist.apiserver.deletion import Options
from kdist.apiserver.participants import Act
from kdist.telemetry import log

if TYPE_CHECKING:
    from kdist.apiserver.core import Core
    from kdist.apiserver.ports import Reader, Writer

_log = log.get(__name__)
RETRY_SECONDS = 1.0


class LocalServices:
    """Keeps the local APIServices. :meth:`follow` before the server starts, :meth:`run` while it serves."""

    def __init__(self, core: Core, reader: Reader, writer: Writer) -> None:
        self._core, self._reader, self._writer = core, reader, writer
        self._changed = asyncio.Event()

    def follow(self) -> None:
        """Hear when an APIService was changed or deleted; the scheme tells of custom groups."""
        self._reader.on_change(API_SERVICES, lambda *_: self._changed.set())
        self._core.scheme.on_change(self._changed.set)

    async def run(self) -> None:
        """Once everything, then the custom groups whenever something changed."""
        names = {meta.name(a) for a in self._wanted(custom=False)}
        await self._until_done(names, custom=False)
        while True:
            self._changed.clear()
            wanted = {meta.name(a) for a in self._wanted(custom=True)}
            have = {meta.name(a) for a in self._reader.list(API_SERVICES) if managed(a) == priorities.ALWAYS}
            await self._until_done(wanted | have, custom=True)
            await self._changed.wait()

    async def _until_done(self, names: set[str], *, custom: bool) -> None:
        while True:
            names = {name for name in sorted(names) if not await self._synced(name, custom=custom)}
            if not names:
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _synced(self, name: str, *, custom: bool) -> bool:
        wanted = next((a for a in self._wanted(custom=custom) if meta.name(a) == name), None)
        try:
            await self._sync(name, wanted)
        except (AlreadyExists, NotFound, Conflict):
            return True  # another was faster: the change comes through the cache
        except ApiError as error:
            _log.warning("cannot keep a local APIService", name=name, error=error.message)
            return False
        return True

    def _wanted(self, *, custom: bool) -> list[Obj]:
        scheme = self._core.scheme
        served = dict.fromkeys((r.group, r.version) for r in scheme if scheme.is_custom(r) is custom)
        return [
            priorities.local(group, version, custom=custom)
            for group, version in served
            if group != priorities.REGISTRATION_GROUP
        ]

    async def _sync(self, name: str, wanted: Obj | None) -> None:
        have = self._reader.get(API_SERVICES, None, name)
        if have is None:
            if wanted is not None:
                await self._writer.create(API_SERVICES, wanted)
        elif not managed(have):
            return
        elif wanted is None:
            await self._delete(name, meta.uid(have))
        elif have["spec"] != wanted["spec"]:
            await self._writer.update(API_SERVICES, {**have, "spec": wanted["spec"]})

    async def _delete(self, name: str, uid: str) -> None:
        from kdist.apiserver.handlers.delete import delete_object
        from kdist.apiserver.loopback import resource_of

        pipeline = self._core.inner_pipeline(resource_of(self._core, API_SERVICES))
        await delete_object(pipeline, "", name, Options(uid=uid), Act())


def managed(api_service: Obj) -> str:
    """How this server keeps an APIService; empty when it is a user's."""
    return meta.labels(api_service).get(priorities.MANAGED_LABEL, "")
