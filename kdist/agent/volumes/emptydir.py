"""emptyDir volumes: a directory, a file system in memory, or one of huge pages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kdist.agent.interfaces import VolumeError
from kdist.agent.volumes import mounts, ownership
from kdist.api import quantity
from kdist.api.meta import Obj

PLUGIN = "kubernetes.io/empty-dir"
_HUGE = "HugePages"


def set_up(directory: Path, pod: Obj, source: Obj, allocatable: Mapping[str, int]) -> None:
    """Make the volume; idempotent. Raises VolumeError and OSError."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o777)
    medium = source.get("medium") or ""
    if medium and not mounts.is_mounted(directory):
        _mount(directory, pod, source, medium, allocatable)
    directory.chmod(0o777)  # mkdir is subject to the umask
    group = ownership.fs_group(pod)
    if group is not None:
        ownership.give_to_group(directory, group, if_root_differs=ownership.on_root_mismatch(pod))


def _mount(directory: Path, pod: Obj, source: Obj, medium: str, allocatable: Mapping[str, int]) -> None:
    if medium == "Memory":
        mounts.tmpfs(directory, size=memory_size(pod, source, allocatable))
    elif medium.startswith(_HUGE):
        mounts.hugetlbfs(directory, page_size=page_size(pod, medium))
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
