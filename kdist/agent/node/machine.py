"""This machine: what it is and what it has, read from the kernel's files."""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass, field
from pathlib import Path

_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts of the host. Memory and storage in bytes."""

    hostname: str
    architecture: str
    cpus: int
    memory: int
    storage: int
    machine_id: str = ""
    system_uuid: str = ""
    boot_id: str = ""
    kernel_version: str = ""
    os_image: str = ""
    swap: int = 0
    hugepages: dict[str, int] = field(default_factory=dict)


def read(root: Path) -> Machine:
    """The facts of this host; ``root`` is the directory whose file system counts as storage."""
    info = _meminfo(Path("/proc/meminfo"))
    disk = os.statvfs(root)
    return Machine(
        hostname=socket.gethostname(),
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
        cpus=len(os.sched_getaffinity(0)),
        memory=info.get("MemTotal", 0),
        swap=info.get("SwapTotal", 0),
        storage=disk.f_blocks * disk.f_frsize,
        machine_id=_text("/etc/machine-id"),
        system_uuid=_text("/sys/class/dmi/id/product_uuid") or _text("/etc/machine-id"),
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        kernel_version=platform.release(),
        os_image=_os_image(),
        hugepages=_hugepages(Path("/sys/kernel/mm/hugepages")),
    )


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""  # Virtual machines and containers lack some of them.


def _meminfo(path: Path) -> dict[str, int]:
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[2:] == ["kB"]}


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _hugepages(directory: Path) -> dict[str, int]:
    """Resource name -> bytes of preallocated huge pages."""
    found = {}
    for size in sorted(directory.glob("hugepages-*kB")):
        kibibytes = int(size.name.removeprefix("hugepages-").removesuffix("kB"))
        name = f"{kibibytes >> 20}Gi" if kibibytes >= 1 << 20 else f"{kibibytes >> 10}Mi"
        found[f"hugepages-{name}"] = int((size / "nr_hugepages").read_text()) * kibibytes * 1024
    return found


def default_address() -> str:
    """The address that leads out of this host; loopback when nothing does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # A documentation address: no packet is sent.
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
