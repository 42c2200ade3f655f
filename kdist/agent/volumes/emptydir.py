"""emptyDir volumes: a directory, a file system in memory, or one of huge pages."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from kdist.agent.interfaces import VolumeError
from kdist.agent.volumes import mounts, ownership
from kdist.api import quantity
from kdist.api.meta import Obj

PLUGIN = "kubernetes.io/empty-dir"
_HUGE = "HugePages"
_MODE = 0o777


def set_up(directory: Path, pod: Obj, source: Obj, allocatable: Mapping[str, int]) -> None:
    """Make the volume, once: what containers do to it later is theirs. Raises VolumeError and OSError."""
    medium = source.get("medium") or ""
    group = ownership.fs_group(pod)
    if not directory.is_dir():
        _make(directory, group)
    if medium and not mounts.is_mounted(directory):
        _mount(directory, pod, source, medium, allocatable)


def _make(directory: Path, group: int | None) -> None:
    """Make the directory as the pod is to find it, then give it its name: it is never seen half-done."""
    directory.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    unfinished = directory.with_name(f".{directory.name}")
    unfinished.mkdir(exist_ok=True)
    unfinished.chmod(_MODE)  # mkdir is subject to the umask
    if group is not None:
        ownership.give_to_group(unfinished, group)
    unfinished.rename(directory)


def _mount(directory: Path, pod: Obj, source: Obj, medium: str, allocatable: Mapping[str, int]) -> None:
    group = ownership.fs_group(pod)
    mode = _MODE if group is None else _MODE | stat.S_ISGID
    if medium == "Memory":
        size = memory_size(pod, source, allocatable)
        mounts.tmpfs(directory, size=size, mode=mode, group=group or 0)
    elif medium.startswith(_HUGE):
        mounts.hugetlbfs(directory, page_size=page_size(pod, medium), mode=mode, group=group or 0)
    else:
        raise VolumeError(f"emptyDir: unknown medium {medium!r}")


def memory_size(pod: Obj, source: Obj, allocatable: Mapping[str, int]) -> int | None:
    """The size of a memory-backed volume: the least of its limit, the pod's memory and the node's."""
    bounds = []
    if source.get("sizeLimit") is not None and quantity.value(source["sizeLimit"]) > 0:
        bounds.append(quantity.value(source["sizeLimit"]))
    if allocatable.get("memory"):
        bounds.append(allocatable["memory"])
    limits = [((c.get("resources") or {}).get("limits") or {}).get("memory") for c in _containers(pod)]
    known = [quantity.value(limit) for limit in limits if limit is not None]
    if known and len(known) == len(limits):  # a container without a limit leaves the pod unbounded
        bounds.append(sum(known))
    return min(bounds) if bounds else None


def page_size(pod: Obj, medium: str) -> int:
    """The page size of ``HugePages-2Mi``; of plain ``HugePages``, the only one the containers ask for."""
    if medium != _HUGE:
        return quantity.value(medium.removeprefix(f"{_HUGE}-"))
    asked = {
        resource.removeprefix("hugepages-")
        for container in _containers(pod)
        for resource in (container.get("resources") or {}).get("limits") or {}
        if resource.startswith("hugepages-")
    }
    if len(asked) != 1:
        raise VolumeError("emptyDir of medium HugePages: the containers must ask for exactly one page size")
    return quantity.value(asked.pop())


def _containers(pod: Obj) -> list[Obj]:
    return (pod.get("spec") or {}).get("containers") or []
