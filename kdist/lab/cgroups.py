"""The cgroups of lab hosts: one group per host in every hierarchy of the machine, cgroup v1, hybrid or v2.

A host's group holds all of its processes and nothing else, so it also answers "what is still running" and is
how the last process of a host is found and killed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from kdist.lab.plan import Host, Lab
from kdist.lab.process import LabError

ROOT = Path("/sys/fs/cgroup")
KILL_SECONDS = 10.0


def hierarchies() -> list[Path]:
    """The mounted hierarchies; the machine's only one under pure cgroup v2."""
    if (ROOT / "cgroup.procs").exists():
        return [ROOT]
    found = [
        path for path in sorted(ROOT.iterdir()) if not path.is_symlink() and (path / "cgroup.procs").exists()
    ]
    if not found:
        raise LabError(f"no cgroup hierarchy is mounted below {ROOT}")
    return found


def host_groups(lab: Lab, host: Host) -> list[Path]:
    """The host's group in every hierarchy."""
    return [hierarchy / lab.netns / host.name for hierarchy in hierarchies()]


def create(lab: Lab, host: Host) -> list[Path]:
    """Make the host's groups; the existing ones are kept."""
    groups = host_groups(lab, host)
    for group in groups:
        group.mkdir(parents=True, exist_ok=True)
        _inherit(group.parent)
        _inherit(group)
    return groups


def _inherit(group: Path) -> None:
    """Give a new group what it does not inherit by itself: cpusets (v1), controllers for its children (v2)."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        file, parent = group / name, group.parent / name
        if file.exists() and parent.exists() and not file.read_text().strip():
            file.write_text(parent.read_text())
    available = group.parent / "cgroup.controllers"
    if (ROOT / "cgroup.procs").exists() and available.exists():
        enable = " ".join(f"+{controller}" for controller in available.read_text().split())
        (group.parent / "cgroup.subtree_control").write_text(enable)


def processes(lab: Lab, host: Host) -> set[int]:
    """Every process of the host, by the machine's process ids."""
    return {pid for group in host_groups(lab, host) for pid in _members(group)}


def _members(group: Path) -> Iterator[int]:
    for path, _, _ in os.walk(group):
        try:
            yield from map(int, Path(path, "cgroup.procs").read_text().split())
        except OSError:
            # Removed meanwhile, or (v2, threaded) not readable: then it has no processes of its own.
            continue


def kill(lab: Lab, host: Host) -> None:
    """Kill every process of the host and wait until they are gone. LabError when some cannot be killed."""
    _kill_all(host_groups(lab, host))


def _kill_all(groups: list[Path]) -> None:
    deadline = time.monotonic() + KILL_SECONDS
    while pids := {pid for group in groups for pid in _members(group)}:
        if time.monotonic() > deadline:
            raise LabError(f"processes {sorted(pids)} in {groups[0]} do not die")
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.01)


def clear(lab: Lab) -> None:
    """Kill whatever runs under the lab's name, of hosts known or not, and remove its groups."""
    groups = [hierarchy / lab.netns for hierarchy in hierarchies()]
    _kill_all(groups)
    _remove_all(groups)


def remove(lab: Lab, host: Host) -> None:
    """Remove the host's groups. LabError when one is still busy."""
    _remove_all(host_groups(lab, host))


def _remove_all(groups: list[Path]) -> None:
    for group in groups:
        deadline = time.monotonic() + KILL_SECONDS
        while group.exists() and not _remove_tree(group):
            if time.monotonic() > deadline:
                raise LabError(f"cgroup {group} is still in use")
            time.sleep(0.02)


def _remove_tree(group: Path) -> bool:
    """Whether the group and all below are gone; those that are busy stay."""
    for path, _, _ in os.walk(group, topdown=False):
        try:
            Path(path).rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def memory(lab: Lab, host: Host) -> int | None:
    """Bytes the host uses, page cache included; None where the machine does not count them."""
    for group in host_groups(lab, host):
        for name in ("memory.usage_in_bytes", "memory.current"):
            if (group / name).exists():
                return int((group / name).read_text())
    return None
