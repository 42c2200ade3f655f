"""CSI volumes of pods: staged once per node, published once per pod, taken down in the opposite order.

What is needed to take a volume down is written to ``vol_data.json`` beside it before the driver is first
called, so that a volume whose agent died half-way is still unpublished.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from kdist.agent.csi import csi_node_pb2 as pb
from kdist.agent.csi import request
from kdist.agent.csi.client import CsiError, Driver
from kdist.agent.csi.drivers import DriverMissing, Drivers
from kdist.agent.csi.request import CsiVolume
from kdist.agent.interfaces import HostMount, VolumeError
from kdist.agent.volumes import mounts, ownership, payload
from kdist.agent.volumes.api import Api
from kdist.agent.volumes.layout import CSI, Layout
from kdist.agent.volumes.objects import Objects
from kdist.agent.volumes.tokens import Tokens
from kdist.api import meta
from kdist.api.errors import NotFound
from kdist.api.kinds import CSI_DRIVERS, VOLUME_ATTACHMENTS
from kdist.api.meta import Obj

RECORD = "vol_data.json"
_STAGE = pb.NodeCapability.STAGE_UNSTAGE_VOLUME
_MOUNT_GROUP = pb.NodeCapability.VOLUME_MOUNT_GROUP
# How long one mount waits for the attacher before it reports back; the pod tries again.
_ATTACH_WAIT = 60.0
# A driver's DaemonSet starts together with the pods that use it.
_DRIVER_WAIT = 10.0


class CsiVolumes:
    """Sets up and takes down CSI volumes; locks per volume, so that pods do not stage one twice."""

    def __init__(
        self, layout: Layout, drivers: Drivers, api: Api, objects: Objects, tokens: Tokens, node: str
    ) -> None:
        self._layout = layout
        self._drivers = drivers
        self._api = api
        self._objects = objects
        self._tokens = tokens
        self._node = node
        # A lock lives as long as someone holds or awaits it.
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def mount(self, pod: Obj, volume: CsiVolume) -> HostMount:
        """Stage and publish; idempotent. Raises VolumeError and the ApiError tree."""
        directory = self._directory(meta.uid(pod), volume)
        target = directory / ("device" if volume.block else "mount")
        driver = await self._driver(volume.driver)
        async with self._locked(volume.driver, volume.handle):
            try:
                if not mounts.is_mounted(target):
                    await self._set_up(pod, volume, driver, directory, target)
            except CsiError as error:
                raise VolumeError(f'volume "{volume.name}": driver {volume.driver}: {error}') from error
        return HostMount(target, read_only=volume.read_only, block=volume.block)

    def _directory(self, uid: str, volume: CsiVolume) -> Path:
        parent = self._layout.devices(uid) if volume.block else self._layout.volumes(uid)
        return parent / CSI.replace("/", "~") / volume.name

    async def _driver(self, name: str) -> Driver:
        deadline = asyncio.get_running_loop().time() + _DRIVER_WAIT
        while True:
            try:
                return self._drivers.get(name)
            except DriverMissing as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise VolumeError(str(error)) from None
            await asyncio.sleep(0.2)

    async def _set_up(
        self, pod: Obj, volume: CsiVolume, driver: Driver, directory: Path, target: Path
    ) -> None:
        features = await driver.capabilities()
        about = await self._about(volume)
        staged = _STAGE in features and not volume.inline
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        text = json.dumps(request.record(volume, self._node, staged=staged))
        (directory / RECORD).write_text(text)
        context = await self._attached(volume, about)
        group = ownership.fs_group(pod)
        delegated = group if _MOUNT_GROUP in features else None
        access = request.capability(volume, features, delegated)
        staging = ""
        if staged:
            staging = str(self._layout.csi_staging(volume.driver, volume.handle))
            await self._stage(volume, driver, staging, access, context)
        wanted = pb.PublishRequest(
            volume_id=volume.handle,
            publish_context=context,
            staging_target_path=staging,
            target_path=str(target),
            volume_capability=access,
            readonly=volume.read_only,
            secrets=await self._secret(volume.publish_secret, volume),
            volume_context={**volume.attributes, **await self._pod_context(pod, volume, about)},
        )
        await driver.publish(wanted)
        if group is not None and delegated is None and _groups(volume, about):
            await asyncio.to_thread(
                ownership.give_to_group, target, group, if_root_differs=ownership.on_root_mismatch(pod)
            )

    async def _stage(
        self,
        volume: CsiVolume,
        driver: Driver,
        staging: str,
        access: pb.VolumeCapability,
        context: Mapping[str, str],
    ) -> None:
        Path(staging).mkdir(parents=True, exist_ok=True, mode=0o750)
        wanted = pb.StageRequest(
            volume_id=volume.handle,
            publish_context=context,
            staging_target_path=staging,
            volume_capability=access,
            secrets=await self._secret(volume.stage_secret, volume),
            volume_context=volume.attributes,
        )
        await driver.stage(wanted)

    async def _about(self, volume: CsiVolume) -> Obj:
        """The spec of the CSIDriver object; empty when the driver did not bring one."""
        try:
            spec: Obj = (await self._api.get(CSI_DRIVERS, volume.driver)).get("spec") or {}
        except NotFound:
            spec = {}
        modes = spec.get("volumeLifecycleModes") or ["Persistent"]
        if volume.inline and "Ephemeral" not in modes:
            raise VolumeError(f"driver {volume.driver} does not support volumes written inline in a pod")
        return spec

    async def _attached(self, volume: CsiVolume, about: Obj) -> dict[str, str]:
        """Wait until the volume is attached to this node, if its driver wants that; the publish context."""
        if volume.inline or not about.get("attachRequired", True):
            return {}
        name = request.attachment_name(volume, self._node)
        deadline = asyncio.get_running_loop().time() + _ATTACH_WAIT
        reason = "no VolumeAttachment yet"
        while asyncio.get_running_loop().time() < deadline:
            try:
                status = (await self._api.get(VOLUME_ATTACHMENTS, name)).get("status") or {}
            except NotFound:
                status = {}
            if status.get("attached"):
                return dict(status.get("attachmentMetadata") or {})
            if status.get("attachError"):
                reason = str(status["attachError"].get("message"))
            await asyncio.sleep(1.0)
        raise VolumeError(f'volume "{volume.name}" is not attached to {self._node}: {reason}')

    async def _pod_context(self, pod: Obj, volume: CsiVolume, about: Obj) -> dict[str, str]:
        context = request.pod_info(pod, volume.inline) if about.get("podInfoOnMount") else {}
        tokens = {
            wanted.get("audience", ""): await self._tokens.status(
                pod, wanted.get("audience", ""), wanted.get("expirationSeconds")
            )
            for wanted in about.get("tokenRequests") or ()
        }
        return {**context, **request.token_context(tokens)}

    async def _secret(self, reference: Mapping[str, str] | None, volume: CsiVolume) -> dict[str, str]:
        if reference is None:
            return {}
        secret = await self._objects.secret(reference["namespace"], reference["name"])
        if secret is None:
            where = f"{reference['namespace']}/{reference['name']}"
            raise VolumeError(f'secret "{where}" of volume "{volume.name}" not found')
        return {key: value.decode() for key, value in payload.secret_data(secret).items()}

    async def unmount_pod(self, uid: str) -> None:
        """Unpublish every CSI volume of a pod and unstage what no other pod uses. Raises VolumeError."""
        for directory in self._layout.csi_volumes_of(uid):
            held = _read(directory)
            if held is None:
                continue
            try:
                async with self._locked(held["driverName"], held["volumeHandle"]):
                    await self._take_down(directory, held)
            except CsiError as error:
                raise VolumeError(f'volume "{held["specVolID"]}": {error}') from error

    async def _take_down(self, directory: Path, held: Mapping[str, Any]) -> None:
        driver = await self._driver(held["driverName"])
        handle = held["volumeHandle"]
        target = directory / ("device" if _is_device(directory) else "mount")
        await driver.unpublish(pb.UnpublishRequest(volume_id=handle, target_path=str(target)))
        mounts.remove_tree(directory)
        if held.get("staged") and not self._used(held):
            staging = self._layout.csi_staging(held["driverName"], handle)
            await driver.unstage(pb.UnstageRequest(volume_id=handle, staging_target_path=str(staging)))
            mounts.remove_tree(staging.parent)

    def _used(self, held: Mapping[str, Any]) -> bool:
        others = (_read(d) for d in self._layout.csi_volumes())
        same = ("driverName", "volumeHandle")
        return any(o is not None and all(o[k] == held[k] for k in same) for o in others)

    def in_use(self) -> list[str]:
        """The names for ``status.volumesInUse`` of the node."""
        held = (_read(d) for d in self._layout.csi_volumes())
        persistent = (h for h in held if h is not None and h.get("volumeLifecycleMode") == "Persistent")
        return sorted({f"{CSI}/{h['driverName']}^{h['volumeHandle']}" for h in persistent})

    @contextlib.asynccontextmanager
    async def _locked(self, driver: str, handle: str) -> AsyncIterator[None]:
        async with self._locks.setdefault((driver, handle), asyncio.Lock()):
            yield


def _read(directory: Path) -> dict[str, Any] | None:
    """The record beside a volume; None when the agent died before it was written whole."""
    try:
        held: dict[str, Any] = json.loads((directory / RECORD).read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    return held


def _is_device(directory: Path) -> bool:
    return directory.parent.parent.name == "volumeDevices"


def _groups(volume: CsiVolume, about: Obj) -> bool:
    """Whether fsGroup is applied to this volume, by the driver's fsGroupPolicy."""
    policy = about.get("fsGroupPolicy") or "ReadWriteOnceWithFSType"
    if policy == "None" or volume.block or volume.read_only:
        return False
    if policy == "File":
        return True
    return bool(volume.fs_type) and "ReadWriteOnce" in volume.access_modes
