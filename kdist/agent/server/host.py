"""What the node itself uses, read from /proc and the file system."""

from __future__ import annotations

import os
import time
from pathlib import Path

from kdist.agent.server.summary import NodeUsage

_PROC = Path("/proc")
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def usage(root: Path) -> NodeUsage:
    """A measurement now; ``root`` is on the file system that pods and images use."""
    memory = _memory((_PROC / "meminfo").read_text())
    faults = _counters((_PROC / "vmstat").read_text())
    cpu, boot = _cpu((_PROC / "stat").read_text())
    used = memory["MemTotal"] - memory["MemFree"]
    return NodeUsage(
        time_ns=time.time_ns(),
        boot_ns=boot,
        cpu_ns=cpu,
        memory_usage=used,
        # What the kernel could give back at once is not part of the working set.
        memory_working_set=max(0, used - memory.get("Inactive(file)", 0)),
        memory_available=memory["MemAvailable"],
        memory_rss=memory.get("AnonPages", 0),
        page_faults=faults.get("pgfault", 0),
        major_page_faults=faults.get("pgmajfault", 0),
        filesystem=_filesystem(root),
        network=_network((_PROC / "net/dev").read_text()),
    )


def _memory(text: str) -> dict[str, int]:
    pairs = (line.split(":") for line in text.splitlines())
    return {name: int(rest.split()[0]) * 1024 for name, rest in pairs}


def _counters(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}


def _cpu(text: str) -> tuple[int, int]:
    """(CPU nanoseconds used, boot time) from /proc/stat."""
    lines = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    # user, nice, system, idle, iowait, irq, softirq, steal; guest time is counted in user already.
    ticks = [int(field) for field in lines["cpu"].split()[:7]]
    busy = sum(ticks) - ticks[3] - ticks[4]
    return busy * _TICK_NS, int(lines["btime"]) * 1_000_000_000


def _filesystem(root: Path) -> dict[str, int]:
    status = os.statvfs(root)
    size = status.f_frsize
    return {
        "availableBytes": status.f_bavail * size,
        "capacityBytes": status.f_blocks * size,
        "usedBytes": (status.f_blocks - status.f_bfree) * size,
        "inodesFree": status.f_ffree,
        "inodes": status.f_files,
        "inodesUsed": status.f_files - status.f_ffree,
    }


def _network(text: str) -> dict[str, dict[str, int]]:
    found = {}
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        values = [int(v) for v in rest.split()]
        if name.strip() != "lo":
            found[name.strip()] = {
                "rx_bytes": values[0],
                "rx_errors": values[2],
                "tx_bytes": values[8],
                "tx_errors": values[10],
            }
    return found
