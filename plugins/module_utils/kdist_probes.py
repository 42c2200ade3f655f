"""Measurements on a host before anything is installed: disk, kernel, names, the way to other hosts.

Nothing stays: a file that measures the disk is removed, kernel features are tried in a network namespace that ends with
the command, packets go to hosts of the inventory only. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

# As etcd's own guide measures a disk: small appends, each made durable.
SAMPLE_BYTES = 2300
SAMPLES = 200
DISK_SECONDS = 2.0
REPLY_SECONDS = 1.0
SSH_PORT = 22
IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, IP_MTU = 10, 3, 14
PLACES = (
    "/opt",
    "/var/lib/containerd",
    "/var/lib/etcd",
    "/var/lib/kdist",
    "/var/lib/kubelet",
    "/var/log",
)
NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN = 10, 16


def existing(path: str) -> Path:
    """The path itself or the nearest directory above it that is there: where it will be made."""
    found = Path(path)
    while not found.is_dir():
        found = found.parent
    return found


def sync_latency(path: str) -> float | None:
    """Seconds that 99% of synchronised small writes take at most; None where nothing can be written."""
    taken = []
    deadline = time.monotonic() + DISK_SECONDS
    try:
        with tempfile.NamedTemporaryFile(dir=existing(path), prefix=".kdist-preflight-") as file:
            while len(taken) < SAMPLES and time.monotonic() < deadline:
                os.write(file.fileno(), b"\0" * SAMPLE_BYTES)
                began = time.monotonic()
                os.fdatasync(file.fileno())
                taken.append(time.monotonic() - began)
    except OSError:
        return None
    return sorted(taken)[int(len(taken) * 0.99)] if taken else None


def disks() -> dict[str, dict[str, int]]:
    """Space and inodes where our directories are or will be."""
    found = {}
    for place in PLACES:
        there = existing(place)
        status = os.statvfs(there)
        found[place] = {
            "device": there.stat().st_dev,
            "free": status.f_bavail * status.f_frsize,
            "inodes": status.f_files,
            "inodes_free": status.f_favail,
        }
    return found


def features() -> dict[str, bool]:
    """What pods need of the kernel: there, or a module that can be loaded."""
    return {
        "bridge": _link("bridge"),
        "br_netfilter": Path("/proc/sys/net/bridge").is_dir() or _loadable("br_netfilter"),
        "nftables": _nftables() or _loadable("nf_tables"),
        "overlay": _filesystem("overlay") or _loadable("overlay"),
        "seccomp": Path("/proc/sys/kernel/seccomp").is_dir(),
        "veth": _link("veth"),
        "vxlan": _link("vxlan", "id", "1", "dstport", "4789"),
    }


def _filesystem(name: str) -> bool:
    return name in Path("/proc/filesystems").read_text().split()


def _loadable(module: str) -> bool:
    try:
        return subprocess.run(["modprobe", "-nq", module], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def _link(kind: str, *options: str) -> bool:
    """Whether the kernel makes such a link, tried in a network namespace of its own."""
    if Path("/sys/module", kind).is_dir() or _loadable(kind):
        return True
    command = ["unshare", "--net", "ip", "link", "add", "kdist-probe", "type", kind, *options]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _nftables() -> bool:
    """Ask the kernel for the generation of its ruleset: what has no nftables refuses the question."""
    header = struct.pack("=LHHLL", 20, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, 1, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as connection:  # NETLINK_NETFILTER
            connection.settimeout(1)
            connection.send(header + struct.pack("=BBH", 0, 0, 0))
            kind: int = struct.unpack_from("=LH", connection.recv(4096))[1]
    except OSError:
        return False
    return kind != 2  # NLMSG_ERROR


def names(extra_servers: list[str]) -> dict[str, Any]:
    """How this host resolves names, and which of its name servers answer."""
    config = Path("/etc/resolv.conf")
    text = config.read_text() if config.exists() else ""
    servers = re.findall(r"^\s*nameserver\s+(\S+)", text, re.M)
    hostname = socket.gethostname()
    return {
        "hostname": hostname,
        "own_name": _resolves(hostname),
        "localhost": _resolves("localhost"),
        "servers": servers,
        "silent": [server for server in dict.fromkeys(servers + extra_servers) if not _answers(server)],
    }


def _resolves(name: str) -> list[str]:
    try:
        return sorted({str(found[4][0]) for found in socket.getaddrinfo(name, None)})
    except OSError:
        return []


def _answers(server: str) -> bool:
    """Whether a name server says anything to a question for the root's name servers."""
    question = b"\x4b\x64\1\0\0\1\0\0\0\0\0\0" + b"\0\0\2\0\1"
    address = server.partition("%")[0]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as connection:
            connection.settimeout(1)
            connection.connect((address, 53))
            connection.send(question)
            return bool(connection.recv(512))
    except OSError:
        return False


def peers(addresses: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Which other hosts are reached, and whether packets of full size arrive there undivided."""
    found: dict[str, dict[str, Any]] = {
        name: {"reached": False, "mtu": _mtu(address), "full": None} for name, address in addresses.items()
    }
    small = _echo({name: (address, 56) for name, address in addresses.items() if ":" not in address})
    for name in small:
        found[name]["reached"] = True
    full = _echo({name: (addresses[name], found[name]["mtu"] - 28) for name in small if found[name]["mtu"]})
    for name in small:
        found[name]["full"] = name in full
    for name, address in addresses.items():
        if not found[name]["reached"]:  # firewalls like to drop ICMP
            found[name]["reached"] = _connects(address)
    return found


def _mtu(address: str) -> int:
    """The size of packets that this host would send there; 0 without a route."""
    if ":" in address:
        return 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))
            return probe.getsockopt(socket.IPPROTO_IP, IP_MTU)
        except OSError:
            return 0


def _connects(address: str) -> bool:
    try:
        socket.create_connection((address, SSH_PORT), timeout=REPLY_SECONDS).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


def _echo(targets: dict[str, tuple[str, int]]) -> set[str]:
    """Names that answered an echo request with that many bytes, not to be divided; asked twice at most."""
    answered: set[str] = set()
    if not targets:
        return answered
    identifier = os.getpid() & 0xFFFF
    numbers = dict(enumerate(targets, 1))
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as connection:
        connection.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
        for _ in range(2):
            for number, name in numbers.items():
                if name not in answered:
                    address, size = targets[name]
                    with contextlib.suppress(OSError):  # larger than the interface takes, or no route
                        connection.sendto(_request(identifier, number, size), (address, 0))
            answered |= {numbers[n] for n in _replies(connection, identifier, len(numbers)) if n in numbers}
            if len(answered) >= len(targets):
                break
    return answered & set(targets)


def _replies(connection: socket.socket, identifier: int, most: int) -> set[int]:
    """The numbers of our requests that were answered."""
    heard: set[int] = set()
    deadline = time.monotonic() + REPLY_SECONDS
    while len(heard) < most and (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([connection], [], [], left)
        if not ready:
            break
        packet = connection.recv(65535)
        kind, _, _, theirs, number = struct.unpack_from("!BBHHH", packet, (packet[0] & 15) * 4)
        if kind == 0 and theirs == identifier:
            heard.add(number)
    return heard


def _request(identifier: int, number: int, size: int) -> bytes:
    payload = b"k" * max(size, 0)
    header = struct.pack("!BBHHH", 8, 0, 0, identifier, number)
    return struct.pack("!BBHHH", 8, 0, _checksum(header + payload), identifier, number) + payload


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
