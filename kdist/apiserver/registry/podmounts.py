"""What is wrong with how a container mounts volumes: as directories, or as devices."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.podvolumes import check_descending_path
from kdist.apiserver.validation import causes
from kdist.apiserver.validation.enums import one_of


def check(container: Obj, field: str, volumes: set[str], spec: Obj) -> list[Cause]:
    """Causes for what a container of ``spec`` mounts of ``volumes``, as directories and as devices."""
    return [*_mounts(container, field, volumes), *_devices(container, field, volumes, _disks(spec))]


def _disks(spec: Obj) -> set[str]:
    """The volumes that can be devices: those of claims."""
    kinds = ("persistentVolumeClaim", "ephemeral")
    return {v.get("name") or "" for v in spec.get("volumes") or () if any(kind in v for kind in kinds)}


def _taken(container: Obj, kind: str, path: str) -> tuple[set[str], set[str]]:
    """Names and paths of the other way to mount."""
    others = container.get(kind) or ()
    return {o.get("name") or "" for o in others}, {o.get(path) or "" for o in others}


def _mounts(container: Obj, field: str, volumes: set[str]) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    devices, device_paths = _taken(container, "volumeDevices", "devicePath")
    for at, mount in enumerate(container.get("volumeMounts") or ()):
        where, path = f"{field}.volumeMounts[{at}]", mount.get("mountPath") or ""
        name = mount.get("name") or ""
        if not name:
            found.append(causes.required(f"{where}.name"))
        if name not in volumes:
            found.append(causes.not_found(f"{where}.name", name))
        if not path:
            found.append(causes.required(f"{where}.mountPath"))
        if path in seen:
            found.append(causes.invalid(f"{where}.mountPath", path, "must be unique"))
        seen.add(path)
        if name in devices:
            found.append(causes.invalid(f"{where}.name", name, "must not already exist in volumeDevices"))
        if path in device_paths:
            told = "must not already exist as a path in volumeDevices"
            found.append(causes.invalid(f"{where}.mountPath", path, told))
        if mount.get("subPath") and mount.get("subPathExpr"):
            told = "subPathExpr and subPath are mutually exclusive"
            found.append(causes.invalid(f"{where}.subPathExpr", mount["subPathExpr"], told))
        for key in ("subPath", "subPathExpr"):  # named without the mount's place in the list
            found += check_descending_path(mount.get(key) or "", f"{field}.volumeMounts.{key}")
        found += one_of(mount, "mountPropagation", where, ("Bidirectional", "HostToContainer", "None"))
        found += _recursively_read_only(mount, where)
    return found


def _recursively_read_only(mount: Obj, where: str) -> Iterator[Cause]:
    wanted, field = mount.get("recursiveReadOnly"), f"{where}.recursiveReadOnly"
    if wanted in (None, "Disabled"):
        return
    if wanted not in ("Enabled", "IfPossible"):
        yield causes.not_supported(field, wanted, ("Disabled", "Enabled", "IfPossible"))
        return
    if not mount.get("readOnly"):
        yield causes.forbidden(field, "may only be specified when readOnly is true")
    if mount.get("mountPropagation") not in (None, "None"):
        yield causes.forbidden(field, "may only be specified when mountPropagation is None or not specified")


def _devices(container: Obj, field: str, volumes: set[str], disks: set[str]) -> Iterator[Cause]:
    taken: set[str] = set()
    seen: set[str] = set()
    mounts, mount_paths = _taken(container, "volumeMounts", "mountPath")
    for at, device in enumerate(container.get("volumeDevices") or ()):
        where = f"{field}.volumeDevices[{at}]"
        name, path = device.get("name") or "", device.get("devicePath") or ""
        if not name:
            yield causes.required(f"{where}.name")
        if name in taken:
            yield causes.invalid(f"{where}.name", name, "must be unique")
        if name not in volumes:
            yield causes.not_found(f"{where}.name", name)
        elif name not in disks:
            told = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            yield causes.invalid(f"{where}.name", name, told)
        if not path:
            yield causes.required(f"{where}.devicePath")
        if path in seen:
            yield causes.invalid(f"{where}.devicePath", path, "must be unique")
        if ".." in path.split("/"):
            yield causes.invalid(f"{where}.devicePath", path, "can not contain backsteps ('..')")
        if name in mounts:
            yield causes.invalid(f"{where}.name", name, "must not already exist in volumeMounts")
        if path in mount_paths:
            told = "must not already exist as a path in volumeMounts"
            yield causes.invalid(f"{where}.devicePath", path, told)
        taken.add(name)
        seen.add(path)
