"""Making volumes for claims that the scheduler sent to this node, and deleting those that were released."""

from __future__ import annotations

import asyncio
from typing import Any

from kdist.api import meta
from kdist.api.errors import AlreadyExists, NotFound
from kdist.api.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from kdist.client.events import EventRecorder
from kdist.client.informer import Informer
from kdist.client.rest import Client
from kdist.client.workers import run_workers
from kdist.client.workqueue import WorkQueue
from kdist.csi import DRIVER_NAME, plan
from kdist.csi.client import DriverClient, DriverError
from kdist.telemetry import log as logs

log = logs.get(__name__)

# A volume that is still mounted, or a full disk: worth trying again, but not every moment.
_RETRY_SECONDS = 5.0
# What cannot succeed until somebody changes it (an access mode that local volumes do not have).
_REFUSED_SECONDS = 60.0
_CLAIM, _VOLUME = "claim:", "volume:"


class Provisioner:
    """The provisioner of one node. Keys of its queue are ``claim:NAMESPACE/NAME`` and ``volume:NAME``."""

    def __init__(self, client: Client, driver: DriverClient, node: str) -> None:
        self._client, self._driver, self._node = client, driver, node
        self._claims = Informer(client, PERSISTENT_VOLUME_CLAIMS)
        self._volumes = Informer(client, PERSISTENT_VOLUMES)
        self._events = EventRecorder(client, DRIVER_NAME, node)
        self._queue = WorkQueue("provisioner")
        self._here = plan.Here({})
        self._claims.add_handler(self._claim_changed)
        self._volumes.add_handler(self._volume_changed)

    def _claim_changed(self, _: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if new and plan.wants_volume(new, self._node):
            self._queue.add(_CLAIM + meta.key(new))

    def _volume_changed(self, _: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if new and self._here.has(new) and plan.fate(new) is not plan.Fate.KEEP:
            self._queue.add(_VOLUME + meta.key(new))

    async def run(self) -> None:
        """Work until cancelled."""
        self._here = plan.Here(await self._driver.topology())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._claims.run(), name="claims")
            tasks.create_task(self._volumes.run(), name="volumes")
            tasks.create_task(self._events.run(), name="events")
            await self._claims.wait_synced()
            await self._volumes.wait_synced()
            await run_workers(self._queue, self._reconcile, name="provisioner")

    async def _reconcile(self, key: str) -> float | None:
        if key.startswith(_CLAIM):
            return await self._provide(key.removeprefix(_CLAIM))
        return await self._dispose(key.removeprefix(_VOLUME))

    async def _provide(self, key: str) -> float | None:
        claim = self._claims.get(key)
        if claim is None or not plan.wants_volume(claim, self._node):
            return None
        if self._volumes.get(plan.volume_name(claim)):
            return None  # made already; the volume controller binds it
        try:
            storage_class = await self._client.get(STORAGE_CLASSES, claim["spec"]["storageClassName"])
        except NotFound as error:
            self._events.event(claim, "Warning", "ProvisioningFailed", error.message)
            return _RETRY_SECONDS
        self._events.event(claim, "Normal", "Provisioning", f"Making a volume on node {self._node}")
        request = plan.creation(claim, storage_class, self._here.segments)
        try:
            made = await self._driver.create(request)
        except DriverError as error:
            return await self._refused(claim, error)
        volume = plan.persistent_volume(claim, storage_class, made)
        try:
            await self._client.create(PERSISTENT_VOLUMES, volume)
        except AlreadyExists:
            return None
        name = meta.name(volume)
        self._events.event(claim, "Normal", "ProvisioningSucceeded", f"Made volume {name}")
        log.info("made volume", volume=name, claim=key)
        return None

    async def _refused(self, claim: dict[str, Any], error: DriverError) -> float | None:
        self._events.event(claim, "Warning", "ProvisioningFailed", str(error))
        if not error.wants_another_node:
            return _REFUSED_SECONDS if error.is_final else _RETRY_SECONDS
        # Without the annotation the scheduler chooses again. The revision guards against undoing a newer choice.
        body = {
            "metadata": {
                "resourceVersion": meta.resource_version(claim),
                "annotations": {plan.SELECTED_NODE: None},
            }
        }
        await self._client.patch(
            PERSISTENT_VOLUME_CLAIMS, meta.name(claim), body, namespace=meta.namespace(claim)
        )
        return None

    async def _dispose(self, name: str) -> float | None:
        volume = self._volumes.get(name)
        if volume is None or not self._here.has(volume):
            return None
        fate = plan.fate(volume)
        if fate is plan.Fate.KEEP:
            return None
        if fate is plan.Fate.DELETE:
            try:
                await self._driver.delete(volume["spec"]["csi"]["volumeHandle"])
            except DriverError as error:
                self._events.event(volume, "Warning", "VolumeFailedDelete", str(error))
                return _RETRY_SECONDS
        await self._remove(volume)
        log.info("removed volume", volume=name, fate=fate.value)
        return None

    async def _remove(self, volume: dict[str, Any]) -> None:
        """Delete the object, then let go of it: in this order nobody can bind it in between."""
        try:
            if not meta.is_deleting(volume):
                await self._client.delete(PERSISTENT_VOLUMES, meta.name(volume), uid=meta.uid(volume))
            current = await self._client.get(PERSISTENT_VOLUMES, meta.name(volume))
            kept = [f for f in plan.finalizers(current) if f != plan.FINALIZER]
            if kept != plan.finalizers(current):
                metadata = {**current["metadata"], "finalizers": kept}
                await self._client.update(PERSISTENT_VOLUMES, {**current, "metadata": metadata})
        except NotFound:
            log.debug("volume object is gone already", volume=meta.name(volume))
