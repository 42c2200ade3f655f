"""Watches the metadata of every resource that can be deleted, custom ones as they come and go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from kdist.api.errors import ApiError
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.client.informer import Informer
from kdist.client.rest import Client, Unreachable
from kdist.controllers.discovery import discover
from kdist.telemetry import log as telemetry_log

log = telemetry_log.get(__name__)

RESYNC_SECONDS = 30.0
# After a change of what is served: definitions come in bursts and take a moment to take effect.
SETTLE_SECONDS = 1.0
_DEFINITIONS = {"apiextensions.k8s.io", "apiregistration.k8s.io"}
# A resource that cannot be listed for so long (a broken conversion, say) does not hold up all the others.
SYNC_SECONDS = 60.0
# Nothing owns events and nobody cares when they go; there are too many of them.
_IGNORED = {("", "events"), ("events.k8s.io", "events")}
_KEPT = ("name", "namespace", "uid", "resourceVersion", "ownerReferences", "finalizers", "deletionTimestamp")

Tell = Callable[[Kind, Obj | None, Obj | None], None]


def slim(obj: Obj) -> Obj:
    """All that the graph needs."""
    metadata = obj["metadata"]
    return {"metadata": {field: metadata[field] for field in _KEPT if field in metadata}}


@dataclass(frozen=True, slots=True)
class _Monitor:
    informer: Informer
    task: asyncio.Task[None]
    started: float


class Monitors:
    """One informer per resource; tells ``(kind, old, new)``."""

    def __init__(self, client: Client, tell: Tell) -> None:
        self._client, self._tell = client, tell
        self._running: dict[Kind, _Monitor] = {}
        self._definitions_changed = asyncio.Event()
        self.by_kind: dict[tuple[str, str], Kind] = {}  # (group, kind) -> resource

    @property
    def synced(self) -> bool:
        """Whether every resource that is watched has been listed."""
        late = time.monotonic() - SYNC_SECONDS
        return bool(self._running) and all(
            m.informer.synced or m.started < late for m in self._running.values()
        )

    async def run(self) -> None:
        """Follow discovery until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    await self._resync(group)
                except (ApiError, Unreachable) as error:
                    log.warning("resources not discovered", error=error)
                await self._pause()

    async def _pause(self) -> None:
        """Until it is time to look again, or a definition changed."""
        try:
            async with asyncio.timeout(RESYNC_SECONDS if self._running else SETTLE_SECONDS):
                await self._definitions_changed.wait()
        except TimeoutError:
            return
        await asyncio.sleep(SETTLE_SECONDS)
        self._definitions_changed.clear()

    async def _resync(self, group: asyncio.TaskGroup) -> None:
        catalog = await discover(self._client)
        wanted = {
            s.kind
            for s in catalog.resources
            if {"list", "watch", "delete"} <= s.verbs and (s.kind.group, s.kind.plural) not in _IGNORED
        }
        self.by_kind.update({(s.kind.group, s.kind.kind): s.kind for s in catalog.resources})
        if not catalog.failures:
            for kind in self._running.keys() - wanted:
                await self._stop(kind)
        for kind in wanted - self._running.keys():
            self._start(group, kind)

    def _start(self, group: asyncio.TaskGroup, kind: Kind) -> None:
        informer = Informer(self._client, kind, metadata_only=True, transform=slim)
        informer.add_handler(lambda old, new: self._tell(kind, old, new))
        if kind.group in _DEFINITIONS:
            informer.add_handler(lambda old, new: self._definitions_changed.set())
        task = group.create_task(informer.run(), name=f"monitor-{kind.plural}.{kind.group}")
        self._running[kind] = _Monitor(informer, task, time.monotonic())

    async def _stop(self, kind: Kind) -> None:
        """The resource is no longer served: neither are its objects."""
        monitor = self._running.pop(kind)
        monitor.task.cancel()
        await asyncio.wait((monitor.task,))
        for obj in monitor.informer.list():
            self._tell(kind, obj, None)
