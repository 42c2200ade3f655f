"""Sets up, refreshes and takes down all volumes of a pod: the :class:`VolumeManager` of the agent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from kdist.agent.csi import request as csi_request
from kdist.agent.csi.drivers import Drivers
from kdist.agent.interfaces import HostMount, VolumeError
from kdist.agent.volumes import claims, emptydir, hostpath, mounts, ownership, projected
from kdist.agent.volumes.api import Api
from kdist.agent.volumes.csi import CsiVolumes
from kdist.agent.volumes.layout import LOCAL, Layout
from kdist.agent.volumes.objects import MAX_AGE, Objects
from kdist.agent.volumes.tokens import Tokens
from kdist.api import meta
from kdist.api.errors import ApiError
from kdist.api.meta import Obj
from kdist.client.rest import Unreachable


class Volumes:
    """The node's volumes. Stateless: a new one takes over what an earlier life of the agent mounted."""

    def __init__(
        self,
        api: Api,
        *,
        root: Path,
        node_name: str,
        drivers: Drivers,
        objects: Objects | None = None,
        allocatable: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        """``root`` is the agent's directory; ``allocatable`` gives milli CPU and bytes of the node."""
        self._api = api
        self._layout = Layout(root)
        self._allocatable = allocatable
        self._objects = objects or Objects(api)
        self._tokens = Tokens(api)
        self._projector = projected.Projector(self._objects, self._tokens, allocatable)
        self._csi = CsiVolumes(self._layout, drivers, api, self._objects, self._tokens, node_name)

    async def mount(self, pod: Obj) -> dict[str, HostMount]:
        """Make every volume of ``spec.volumes`` ready; idempotent. Raises :class:`VolumeError`."""
        ready: dict[str, HostMount] = {}
        for volume in (pod.get("spec") or {}).get("volumes") or ():
            with _explained(volume):
                ready[volume["name"]] = await self._mount(pod, volume)
        return ready

    async def _mount(self, pod: Obj, volume: Obj) -> HostMount:
        name, uid = volume["name"], meta.uid(pod)
        for kind, plugin in projected.PLUGINS.items():
            if kind in volume:
                directory = self._layout.volume(uid, plugin, name)
                max_age = MAX_AGE if directory.is_dir() else 0.0
                await self._projector.write(directory, pod, volume, max_age)
                return HostMount(directory, read_only=True)
        if "hostPath" in volume:
            path = Path(volume["hostPath"]["path"])
            hostpath.prepare(path, volume["hostPath"].get("type") or "")
            return HostMount(path)
        if "persistentVolumeClaim" in volume or "ephemeral" in volume:
            return await self._mount_claim(pod, volume)
        if "csi" in volume:
            return await self._csi.mount(pod, csi_request.from_inline(pod, volume))
        source = volume.get("emptyDir")
        if source is None and volume.keys() - {"name", "emptyDir"}:
            raise VolumeError(f"sources {sorted(volume.keys() - {'name'})} are not supported by this node")
        directory = self._layout.volume(uid, emptydir.PLUGIN, name)
        emptydir.set_up(directory, pod, source or {}, self._allocatable())
        return HostMount(directory)

    async def _mount_claim(self, pod: Obj, volume: Obj) -> HostMount:
        pv = await claims.find(self._api, pod, volume)
        read_only = bool((volume.get("persistentVolumeClaim") or {}).get("readOnly"))
        spec = pv["spec"]
        if "csi" in spec:
            return await self._csi.mount(pod, csi_request.from_volume(pv, read_only))
        block = spec.get("volumeMode") == "Block"
        if "hostPath" in spec:
            path = Path(spec["hostPath"]["path"])
            hostpath.prepare(path, spec["hostPath"].get("type") or "")
            return HostMount(path, read_only, block)
        if "local" in spec:
            done = self._layout.volume(meta.uid(pod), LOCAL, meta.name(pv))
            return _local(pod, pv, read_only, block, done)
        raise VolumeError(f'persistentvolume "{meta.name(pv)}": its source is not supported by this node')

    async def refresh(self, pod: Obj) -> None:
        """Bring configMap, secret, projected and downwardAPI files up to date. Raises VolumeError."""
        for volume in (pod.get("spec") or {}).get("volumes") or ():
            if any(kind in volume for kind in projected.PLUGINS):
                with _explained(volume):
                    await self._mount(pod, volume)

    async def unmount(self, pod_uid: str) -> None:
        """Take everything of that pod down; idempotent, also for pods of an earlier life of the agent."""
        try:
            mounts.remove_tree(self._layout.subpaths(pod_uid))
            await self._csi.unmount_pod(pod_uid)
            mounts.remove_tree(self._layout.volumes(pod_uid))
            mounts.remove_tree(self._layout.devices(pod_uid))
        except (OSError, ApiError, Unreachable) as error:
            raise VolumeError(f"volumes of pod {pod_uid}: {error}") from error
        self._tokens.forget(pod_uid)
        with contextlib.suppress(OSError):  # the pod side may have files of its own there
            self._layout.pod(pod_uid).rmdir()

    def reconstruct(self) -> set[str]:
        """The uids of pods that have volumes on this host; those that are not wanted get unmounted."""
        return self._layout.pod_uids()

    def in_use(self) -> list[str]:
        """``status.volumesInUse`` of the node: what must not be detached from it."""
        return self._csi.in_use()


@contextlib.contextmanager
def _explained(volume: Obj) -> Iterator[None]:
    """Every failure names its volume."""
    try:
        yield
    except (OSError, ApiError, Unreachable) as error:
        raise VolumeError(f'MountVolume.SetUp failed for volume "{volume["name"]}": {error}') from error
    except VolumeError as error:
        raise VolumeError(f'MountVolume.SetUp failed for volume "{volume["name"]}": {error}') from error


def _local(pod: Obj, pv: Obj, read_only: bool, block: bool, done: Path) -> HostMount:
    """The local volume; the directory ``done`` remembers that its files were given to the pod's group."""
    path = Path(pv["spec"]["local"]["path"])
    if not path.exists():
        raise VolumeError(f'persistentvolume "{meta.name(pv)}": {path} does not exist on this node')
    if path.is_block_device() != block:
        kind = "Block" if block else "Filesystem"
        raise VolumeError(f'persistentvolume "{meta.name(pv)}": {path} does not fit volumeMode {kind}')
    group = ownership.fs_group(pod)
    if group is not None and not block and not read_only and not done.is_dir():
        ownership.give_to_group(path, group, if_root_differs=ownership.on_root_mismatch(pod))
        done.mkdir(parents=True, mode=0o750)
    return HostMount(path, read_only, block)
