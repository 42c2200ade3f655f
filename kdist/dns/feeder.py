"""The feeder's loop: watch the API, keep unbound's records in step, keep unbound running."""

from __future__ import annotations

import asyncio
from typing import Any

from kdist.api import meta
from kdist.api.kinds import ENDPOINT_SLICES, PODS, SERVICES
from kdist.client.informer import Informer
from kdist.client.rest import Client
from kdist.dns import config, records, unbound
from kdist.dns.control import Control, ControlError
from kdist.dns.zone import Zone
from kdist.telemetry import log as logs

log = logs.get(__name__)

SERVICE_NAME = "kubernetes.io/service-name"
_BY_SERVICE = "service"
# Long enough to join a burst into one change, short beside the seconds that clients keep records.
_SETTLE_SECONDS = 0.05
_RESTART_SECONDS = 1.0


def slim(obj: dict[str, Any]) -> dict[str, Any]:
    """A Service or EndpointSlice without what DNS never needs."""
    kept = ("name", "namespace", "labels", "resourceVersion", "uid")
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k in kept}}


def slim_pod(pod: dict[str, Any]) -> dict[str, Any]:
    """A pod's name and addresses; there may be many thousands of pods."""
    kept = ("name", "namespace", "resourceVersion", "uid")
    status = pod.get("status") or {}
    ended = status.get("phase") in ("Succeeded", "Failed")
    return {
        "metadata": {k: v for k, v in pod["metadata"].items() if k in kept},
        "status": {} if ended else {"podIPs": status.get("podIPs") or []},
    }


def service_of(slice_: dict[str, Any]) -> list[str]:
    """The key of the Service that an EndpointSlice belongs to; empty when it belongs to none."""
    owner = meta.labels(slice_).get(SERVICE_NAME)
    return [f"{meta.namespace(slice_)}/{owner}"] if owner else []


class Feeder:
    """Keeps the unbound described by ``serving`` in step with the API server."""

    def __init__(self, client: Client, serving: config.Serving, domain: str) -> None:
        self._services = Informer(client, SERVICES, transform=slim)
        self._slices = Informer(client, ENDPOINT_SLICES, transform=slim, indexers={_BY_SERVICE: service_of})
        self._pods = Informer(client, PODS, transform=slim_pod)
        self._serving, self._control = serving, Control(serving.control)
        self._zone = Zone(domain)
        self._zone.replace("zone", records.of_zone(domain))
        self._aliases: dict[str, str] = {}
        self._dirty: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        self._answering = False
        self._services.add_handler(lambda old, new: self._mark("service", [meta.key(new or old or {})]))
        self._slices.add_handler(self._slice_changed)
        self._pods.add_handler(self._pod_changed)

    def is_ready(self) -> str | None:
        """A health check: None while unbound answers from complete records."""
        return None if self._answering else "unbound does not answer from complete records yet"

    def _slice_changed(self, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        self._mark("service", [key for obj in (old, new) if obj for key in service_of(obj)])

    def _pod_changed(self, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if (old or {}).get("status") != (new or {}).get("status"):
            self._mark("pod", [meta.key(new or old or {})])

    def _mark(self, kind: str, keys: list[str]) -> None:
        self._dirty.update((kind, key) for key in keys)
        self._wake.set()

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for informer in (self._services, self._slices, self._pods):
                tasks.create_task(informer.run(), name=informer.kind.plural)
            for informer in (self._services, self._slices, self._pods):
                await informer.wait_synced()
            while True:
                try:
                    await self._serve()
                except (unbound.UnboundFailed, ControlError) as error:
                    log.error("unbound must be started again", error=error)
                await asyncio.sleep(_RESTART_SECONDS)

    async def _serve(self) -> None:
        """One life of unbound, from complete records to its end."""
        self._note_changes()
        self._write_records()
        configuration = self._serving.directory / "unbound.conf"
        configuration.write_text(config.server(self._serving))
        async with unbound.running(configuration, self._control) as process:
            ended = asyncio.create_task(process.wait(), name="unbound")
            try:
                self._answering = True
                while not ended.done():
                    await self._follow_once(ended)
                raise unbound.UnboundFailed(f"unbound ended with code {ended.result()}")
            finally:
                self._answering = False
                ended.cancel()

    async def _follow_once(self, ended: asyncio.Task[int]) -> None:
        woken = asyncio.create_task(self._wake.wait(), name="changes")
        await asyncio.wait({woken, ended}, return_when=asyncio.FIRST_COMPLETED)
        woken.cancel()
        if ended.done():
            return
        await asyncio.sleep(_SETTLE_SECONDS)
        self._note_changes()
        if self._zone.external_aliases() != self._aliases:
            # unbound takes the kind of zone that follows an alias from its files only.
            self._write_records()
            await self._control.reload()
            return
        difference = self._zone.difference()
        added = [config.record(name, value) for name, values in difference.added.items() for value in values]
        await self._control.change(difference.removed, added)

    def _note_changes(self) -> None:
        self._wake.clear()
        dirty, self._dirty = self._dirty, set()
        for kind, key in dirty:
            self._zone.replace(f"{kind}/{key}", self._records_of(kind, key))

    def _records_of(self, kind: str, key: str) -> records.Records | None:
        obj = (self._services if kind == "service" else self._pods).get(key)
        if obj is None:
            return None
        if kind == "pod":
            return records.of_pod(obj, self._zone.domain)
        return records.of_service(obj, self._slices.by_index(_BY_SERVICE, key), self._zone.domain)

    def _write_records(self) -> None:
        values = self._zone.everything()
        self._aliases = self._zone.external_aliases()
        follow = bool(self._serving.forwarders)
        text = config.records(self._zone.domain, values, self._aliases, follow=follow)
        self._serving.records.write_text(text)
        log.info("wrote all records", names=len(values), aliases=len(self._aliases))
