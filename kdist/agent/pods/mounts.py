"""Where a container's mounts come from on the host: volumes with subPath, the hosts file, its last message."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kdist.agent.cri import cri_pb2 as pb
from kdist.agent.interfaces import HostMount, VolumeError
from kdist.agent.pods import spec as specs
from kdist.agent.pods.env import ConfigError
from kdist.agent.volumes import subpath
from kdist.api import pods as api_pods
from kdist.api.meta import Obj

_PROPAGATION = {
    "HostToContainer": pb.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": pb.PROPAGATION_BIDIRECTIONAL,
}
DEFAULT_MESSAGE_PATH = "/dev/termination-log"


def volume_mounts(
    container: Obj, volumes: Mapping[str, HostMount], env: Mapping[str, str], subpaths: Path
) -> list[pb.Mount]:
    """The container's volumeMounts; a subPath is bound below ``subpaths``. Raises ConfigError."""
    mounts = []
    for at, wanted in enumerate(container.get("volumeMounts") or ()):
        volume = volumes.get(wanted["name"])
        if volume is None:
            raise ConfigError(f'cannot find volume "{wanted["name"]}" to mount into container')
        sub = api_pods.expand(wanted.get("subPathExpr") or "", env) or wanted.get("subPath") or ""
        mounts.append(
            pb.Mount(
                container_path=_absolute(wanted["mountPath"]),
                host_path=str(_bound(volume, sub, subpaths / wanted["name"] / container["name"] / str(at))),
                readonly=bool(wanted.get("readOnly")) or volume.read_only,
                propagation=_PROPAGATION.get(wanted.get("mountPropagation") or "", pb.PROPAGATION_PRIVATE),
            )
        )
    return mounts


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def _bound(volume: HostMount, sub: str, target: Path) -> Path:
    if not sub:
        return volume.path
    try:
        subpath.bind(volume.path, sub, target, create=not volume.read_only)
    except VolumeError as error:
        raise ConfigError(str(error)) from error
    return target


def devices(container: Obj, volumes: Mapping[str, HostMount]) -> list[pb.Device]:
    """The container's volumeDevices. Raises ConfigError."""
    found = []
    for wanted in container.get("volumeDevices") or ():
        volume = volumes.get(wanted["name"])
        if volume is None or not volume.block:
            raise ConfigError(f'volume "{wanted["name"]}" is no block device')
        permissions = "r" if volume.read_only else "mrw"
        found.append(
            pb.Device(
                host_path=str(volume.path), container_path=wanted["devicePath"], permissions=permissions
            )
        )
    return found


def hosts_mount(pod: Obj, container: Obj, hosts: Path) -> list[pb.Mount]:
    """The mount at /etc/hosts, unless the container mounts something of its own there."""
    taken = any(m["mountPath"] == "/etc/hosts" for m in container.get("volumeMounts") or ())
    if taken or not hosts.exists():
        return []
    context = container.get("securityContext") or {}
    read_only = bool(context.get("readOnlyRootFilesystem")) and not specs.host_network(pod)
    return [pb.Mount(container_path="/etc/hosts", host_path=str(hosts), readonly=read_only)]


def message_mount(container: Obj, message: Path) -> pb.Mount:
    """The mount that catches the container's termination message."""
    path = container.get("terminationMessagePath") or DEFAULT_MESSAGE_PATH
    return pb.Mount(container_path=path, host_path=str(message))
