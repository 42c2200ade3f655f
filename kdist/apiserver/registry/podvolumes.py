"""What is wrong with the volumes of a pod spec."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.enums import one_of

_HOST_PATHS = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_PULL = ("Always", "IfNotPresent", "Never")
_WITH_ITEMS = ("secret", "configMap", "projected", "downwardAPI")


def check(spec: Obj, field: str) -> tuple[list[Cause], set[str]]:
    """Causes for the volumes of a pod spec, and the names of those that are fine, which may be mounted."""
    found: list[Cause] = []
    seen: set[str] = set()
    usable: set[str] = set()
    for at, volume in enumerate(spec.get("volumes") or ()):
        where, name = f"{field}[{at}]", volume.get("name") or ""
        wrong = [*_name(name, seen, where), *_several(volume, where), *_source(volume, where)]
        seen.add(name)
        if not wrong:
            usable.add(name)
        found += wrong
    return found, usable


def check_images(spec: Obj, field: str) -> Iterator[Cause]:
    """Images of volumes are named, once it is a pod's: a template may leave that to others."""
    for at, volume in enumerate(spec.get("volumes") or ()):
        if "image" in volume and not (volume["image"] or {}).get("reference"):
            yield causes.required(f"{field}[{at}].image.reference")


def check_account(spec: Obj, field: str) -> Iterator[Cause]:
    """Tokens need a service account, once it is known whether admission gives one."""
    if spec.get("serviceAccountName"):
        return
    for at, volume in enumerate(spec.get("volumes") or ()):
        for index, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            if "serviceAccountToken" in source:
                where = f"{field}[{at}].projected.sources[{index}].serviceAccountToken"
                yield causes.forbidden(where, "must not be specified when serviceAccountName is not set")


def _name(name: str, seen: set[str], where: str) -> Iterator[Cause]:
    if not name:
        yield causes.required(f"{where}.name")
    elif complaints := names.dns_label(name):
        yield from (causes.invalid(f"{where}.name", name, c) for c in complaints)
    elif name in seen:
        yield causes.duplicate(f"{where}.name", name)


def _several(volume: Obj, where: str) -> Iterator[Cause]:
    for source in [f for f in volume if f != "name"][1:]:
        yield causes.forbidden(f"{where}.{source}", "may not specify more than 1 volume type")


def _source(volume: Obj, where: str) -> Iterator[Cause]:
    for source, key in (
        ("secret", "secretName"),
        ("configMap", "name"),
        ("persistentVolumeClaim", "claimName"),
    ):
        if source in volume and not volume[source].get(key):
            yield causes.required(f"{where}.{source}.{key}")
    if "image" in volume:
        yield from one_of(volume["image"], "pullPolicy", f"{where}.image", _PULL)
    if "ephemeral" in volume and not (volume["ephemeral"] or {}).get("volumeClaimTemplate"):
        yield causes.required(f"{where}.ephemeral.volumeClaimTemplate")
    if "hostPath" in volume:
        yield from check_host_path(volume["hostPath"], f"{where}.hostPath")
    for source in _WITH_ITEMS:
        if source in volume:
            yield from _files(volume[source], f"{where}.{source}")


def check_host_path(source: Obj, field: str) -> Iterator[Cause]:
    """Causes for a HostPathVolumeSource."""
    path, kind = source.get("path") or "", source.get("type") or ""
    if not path:
        yield causes.required(f"{field}.path")
    if ".." in path.split("/"):
        yield causes.invalid(f"{field}.path", path, "must not contain '..'")
    if kind not in _HOST_PATHS:
        yield causes.not_supported(f"{field}.type", kind, _HOST_PATHS)


def _files(source: Obj, where: str) -> Iterator[Cause]:
    if (mode := source.get("defaultMode")) is not None:
        yield from _mode(mode, f"{where}.defaultMode")
    for at, item in enumerate(source.get("items") or ()):
        spot = f"{where}.items[{at}]"
        if not item.get("key") and "fieldRef" not in item and "resourceFieldRef" not in item:
            yield causes.required(f"{spot}.key")
        path = item.get("path") or ""
        if not path:
            yield causes.required(f"{spot}.path")
        yield from check_descending_path(path, f"{spot}.path")
        if (mode := item.get("mode")) is not None:
            yield from _mode(mode, f"{spot}.mode")


def _mode(mode: int, field: str) -> Iterator[Cause]:
    if not 0 <= mode <= 0o777:
        yield causes.invalid(field, mode, "must be a number between 0 and 0777 (octal), both inclusive")


def check_descending_path(path: str, field: str) -> Iterator[Cause]:
    """A path that stays below where it begins."""
    if path.startswith("/"):
        yield causes.invalid(field, path, "must be a relative path")
    if ".." in path.split("/"):
        yield causes.invalid(field, path, "must not contain '..'")
