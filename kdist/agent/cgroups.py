"""The cgroups of pods: ``kubepods``, its QoS tiers, one cgroup for each pod below; containers are the runtime's.

Two drivers make them: :class:`Cgroupfs` writes the hierarchy itself (v1 controllers or v2),
:class:`SystemdSlices` asks systemd for transient slices. Names and limits are the same facts in both.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from kdist.agent.pods.resources import CPU_PERIOD, CgroupLimits
from kdist.telemetry import log as telemetry

log = telemetry.get(__name__)
MOUNT = Path("/sys/fs/cgroup")
# Devices and blkio follow the containers' own cgroups: pods need no limits there.
_V1_CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "hugetlb")
_V2_CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "hugetlb", "io")

Name = tuple[str, ...]
ROOT: Name = ("kubepods",)


def pod_cgroup(qos: str, uid: str) -> Name:
    """Where a pod belongs: guaranteed pods at the top, the others in their tier."""
    return (*tier(qos), f"pod{uid}")


QOS_CLASSES = ("Guaranteed", "Burstable", "BestEffort")


def tier(qos: str) -> Name:
    """The parent cgroup of a QoS class."""
    return ROOT if qos == "Guaranteed" else (*ROOT, qos.lower())


class CgroupDriver(Protocol):
    """Makes, limits and removes cgroups by name."""

    def parent(self, name: Name) -> str:
        """What the runtime is told as the cgroup parent of a sandbox."""
        ...

    async def ensure(self, name: Name, limits: CgroupLimits) -> None:
        """Make it with these limits, or bring the limits up to date. OSError when that fails."""
        ...

    async def remove(self, name: Name) -> None:
        """Remove it with everything below; idempotent."""
        ...

    def pods(self) -> set[Name]:
        """The cgroups of pods that exist now, whoever made them."""
        ...


def unified(mount: Path = MOUNT) -> bool:
    """Whether the host runs cgroup v2 alone."""
    return (mount / "cgroup.controllers").exists()


def make_driver(kind: str, mount: Path = MOUNT) -> CgroupDriver:
    """The driver of that name: ``cgroupfs`` or ``systemd``."""
    return SystemdSlices(mount) if kind == "systemd" else Cgroupfs(mount)


class Cgroupfs:
    """Writes the hierarchy itself."""

    def __init__(self, mount: Path = MOUNT) -> None:
        self._mount = mount
        self._unified = unified(mount)

    def parent(self, name: Name) -> str:
        """``/kubepods/burstable/podUID``."""
        return "/" + "/".join(name)

    async def ensure(self, name: Name, limits: CgroupLimits) -> None:
        """Make the directories from the top down and write the limits into the last."""
        if self._unified:
            self._delegate(name)
        for controller in self._controllers():
            directory = controller.joinpath(*name)
            if not directory.is_dir():
                self._make(controller, name)
            for file, value in _files(self._unified, limits):
                if (directory / file).exists():
                    (directory / file).write_text(value)

    def _controllers(self) -> Iterator[Path]:
        if self._unified:
            yield self._mount
        else:
            yield from (c for c in (self._mount / n for n in _V1_CONTROLLERS) if c.is_dir())

    def _make(self, controller: Path, name: Name) -> None:
        directory = controller
        for part in name:
            above, directory = directory, directory / part
            directory.mkdir(exist_ok=True)
            for file in ("cpuset.cpus", "cpuset.mems"):
                # A new v1 cpuset is empty and takes no process before it has CPUs and memory nodes.
                if (
                    not self._unified
                    and (directory / file).exists()
                    and not (directory / file).read_text().strip()
                ):
                    (directory / file).write_text((above / file).read_text())

    def _delegate(self, name: Name) -> None:
        available = set((self._mount / "cgroup.controllers").read_text().split())
        wanted = " ".join(f"+{c}" for c in _V2_CONTROLLERS if c in available)
        directory = self._mount
        for part in name:
            (directory / "cgroup.subtree_control").write_text(wanted)
            directory = directory / part
            directory.mkdir(exist_ok=True)
        (directory / "cgroup.subtree_control").write_text(wanted)

    async def remove(self, name: Name) -> None:
        """Remove the directories from the bottom up, also of controllers that only the runtime uses."""
        for controller in self.hierarchies():
            top = controller.joinpath(*name)
            if top.is_dir():
                _remove_tree(top)

    def pods(self) -> set[Name]:
        """The cgroups of pods that exist now, in whatever controller."""
        tops = [tier(qos) for qos in QOS_CLASSES]
        return {
            (*top, found.name)
            for controller in self.hierarchies()
            for top in tops
            for found in controller.joinpath(*top).glob("pod*")
        }

    def hierarchies(self) -> list[Path]:
        """Every hierarchy, once: ``cpu`` may be a link to ``cpu,cpuacct``."""
        if self._unified:
            return [self._mount]
        return [c for c in self._mount.iterdir() if c.is_dir() and not c.is_symlink()]


def _remove_tree(top: Path) -> None:
    for below in [p for p in top.iterdir() if p.is_dir()]:
        _remove_tree(below)
    try:
        top.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        # A process is on its way out; the sweep of leftovers comes back for it.
        log.debug("cgroup is still in use", path=top, error=error)


def _files(v2: bool, limits: CgroupLimits) -> Iterator[tuple[str, str]]:
    quota, memory, pids = limits.cpu_quota, limits.memory, limits.pids
    if v2:
        yield "cpu.weight", str(limits.cpu_weight)
        yield "cpu.max", f"{quota or 'max'} {CPU_PERIOD}"
        yield "memory.max", str(memory or "max")
    else:
        yield "cpu.shares", str(limits.cpu_shares)
        yield "cpu.cfs_period_us", str(CPU_PERIOD)
        yield "cpu.cfs_quota_us", str(quota or -1)
        yield "memory.limit_in_bytes", str(memory or -1)
    yield "pids.max", str(pids or "max")


class SystemdSlices:
    """Asks systemd for transient slices over D-Bus, with ``busctl``."""

    def __init__(self, mount: Path = MOUNT) -> None:
        self._unified = unified(mount)
        self._files = Cgroupfs(mount)
        self._done: dict[Name, CgroupLimits] = {}

    def parent(self, name: Name) -> str:
        """``kubepods-burstable-podUID.slice``; dashes of the uid would be levels of the hierarchy."""
        return "-".join(part.replace("-", "_") for part in name) + ".slice"

    async def ensure(self, name: Name, limits: CgroupLimits) -> None:
        """Start the slice with its limits, or set the limits of one that exists."""
        if self._done.get(name) == limits:
            return
        unit, properties = self.parent(name), self._properties(limits)
        if not await self._manager("StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", *properties, "0"):
            await self._manager("SetUnitProperties", "sba(sv)", unit, "true", *properties, check=True)
        if not self._unified:
            # On v1 systemd minds only the controllers that it was given at boot; the runtime uses all of them.
            await self._files.ensure(self._path(name), limits)
        self._done[name] = limits

    def _path(self, name: Name) -> Name:
        """The slice's directory: each level repeats the names above it."""
        return tuple(self.parent(name[: depth + 1]) for depth in range(len(name)))

    def _properties(self, limits: CgroupLimits) -> list[str]:
        infinity = str((1 << 64) - 1)
        weight = ("CPUWeight", limits.cpu_weight) if self._unified else ("CPUShares", limits.cpu_shares)
        quota = str(limits.cpu_quota * 1_000_000 // CPU_PERIOD) if limits.cpu_quota else infinity
        memory = "MemoryMax" if self._unified else "MemoryLimit"
        wanted = [
            (weight[0], "t", str(weight[1])),
            ("CPUQuotaPerSecUSec", "t", quota),
            (memory, "t", str(limits.memory or infinity)),
            ("TasksMax", "t", str(limits.pids or infinity)),
            *[(f"{kind}Accounting", "b", "true") for kind in ("CPU", "Memory", "Tasks")],
        ]
        return [str(len(wanted)), *(word for one in wanted for word in one)]

    async def _manager(self, method: str, signature: str, *words: str, check: bool = False) -> bool:
        path = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
        process = await asyncio.create_subprocess_exec(
            "busctl", "call", "--quiet", *path, method, signature, *words,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, told = await process.communicate()
        if check and process.returncode:
            raise OSError(f"systemd {method} {words[0]}: {told.decode().strip()}")
        return process.returncode == 0

    async def remove(self, name: Name) -> None:
        """Stop the slice."""
        self._done.pop(name, None)
        await self._manager("StopUnit", "ss", self.parent(name), "replace")
        if not self._unified:
            await self._files.remove(self._path(name))

    def pods(self) -> set[Name]:
        """The slices of pods that exist now; dashes of a uid were underscores in the slice's name."""
        names = set()
        for hierarchy in self._files.hierarchies():
            for slice_ in hierarchy.glob("kubepods.slice/**/kubepods-*pod*.slice"):
                *parents, pod = slice_.name.removesuffix(".slice").split("-")
                names.add((*parents, pod.replace("_", "-")))
        return names


def available(kind: str) -> str | None:
    """Why that driver cannot work here, or None when it can."""
    if kind == "systemd" and shutil.which("busctl") is None:
        return "cgroup driver systemd needs busctl"
    return None
