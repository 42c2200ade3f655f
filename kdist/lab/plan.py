"""What a lab consists of: names, addresses, paths and the commands that make it so. Pure.

Everything a lab creates on the machine carries its name: the network namespaces ``kdist-NAME`` (bridge) and
``kdist-NAME-HOST``, the cgroup ``kdist-NAME`` and the directory ``DIR/labs/NAME``. Nothing else is touched.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kdist.config.bundle import SUITES
from kdist.config.lab import LabSettings
from kdist.lab.process import LabError

STATE_FILE = "lab.json"
FIRST_HOST = 11
BRIDGE = "br0"
# The supervisor's interface names are "v-HOST" and Linux allows 15 characters.
NAME = re.compile(r"[a-z][a-z0-9-]{0,11}")


@dataclass(frozen=True)
class Host:
    """One host: ``address`` without prefix length, ``control_plane`` or worker."""

    name: str
    address: str
    control_plane: bool

    @property
    def mac(self) -> str:
        """Fixed by the address: a host that came back with a new one would meet stale ARP entries for 30 s."""
        return "02:4d:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(self.address).packed)


@dataclass(frozen=True)
class Lab:
    """A lab as planned; stored as JSON beside its hosts."""

    name: str
    subnet: str
    suite: str
    base: str
    dir: str
    inventory: str
    hosts: tuple[Host, ...]
    in_memory: bool = False

    @property
    def path(self) -> Path:
        """The lab's own directory."""
        return lab_path(Path(self.dir), self.name)

    @property
    def netns(self) -> str:
        """The namespace that holds the bridge; what stands for "outside the hosts" in this lab."""
        return f"kdist-{self.name}"

    @property
    def gateway(self) -> str:
        """The bridge's address, the hosts' default route. Nothing is routed on from there."""
        return str(next(ipaddress.IPv4Network(self.subnet).hosts()))

    @property
    def prefix_length(self) -> int:
        """Of the subnet."""
        return ipaddress.IPv4Network(self.subnet).prefixlen

    @property
    def disks(self) -> Path:
        """The directory of the hosts' directories; with ``in_memory`` a mount point."""
        return self.path / "hosts"

    def host_path(self, host: Host) -> Path:
        """The host's directory: its disk, console and plan."""
        return self.disks / host.name

    def host_netns(self, host: Host) -> str:
        """The host's network namespace, which lives only while the host runs."""
        return f"{self.netns}-{host.name}"

    def host(self, name: str) -> Host:
        """The host of that name. LabError naming the known ones when there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise LabError(f"lab {self.name} has no host {name}; it has {', '.join(h.name for h in self.hosts)}")

    def to_json(self) -> dict[str, Any]:
        """Plain data for the state file."""
        return asdict(self)

    def same_as(self, other: Lab) -> bool:
        """Whether both have the same hosts; the base may be of an older recipe, the inventory elsewhere."""
        return replace(self, base="", inventory="") == replace(other, base="", inventory="")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Lab:
        """What :meth:`to_json` wrote."""
        return cls(**{**data, "hosts": tuple(Host(**host) for host in data["hosts"])})


def lab_path(directory: Path, name: str) -> Path:
    """Where the lab of that name lives."""
    return directory / "labs" / name


def check_name(name: str) -> str:
    """The name itself. LabError unless it can be part of an interface, a cgroup and a directory name."""
    if not NAME.fullmatch(name):
        raise LabError(f"--name {name}: up to 12 lower-case letters, digits and dashes, a letter first")
    return name


def plan_lab(settings: LabSettings, base: Path) -> Lab:
    """The lab these settings ask for: cp1.. and w1.., addresses from the 11th on. LabError on bad settings."""
    check_name(settings.name)
    if settings.suite not in SUITES:
        raise LabError(f"--suite {settings.suite}: choose one of {', '.join(SUITES)}")
    if not 1 <= settings.control_planes <= settings.hosts:
        raise LabError(
            f"--control-planes {settings.control_planes}: between 1 and --hosts ({settings.hosts})"
        )
    try:
        subnet = ipaddress.IPv4Network(settings.subnet)
    except ValueError as error:
        raise LabError(f"--subnet {settings.subnet}: {error}") from error
    if subnet.num_addresses < FIRST_HOST + settings.hosts + 1:
        raise LabError(
            f"--subnet {settings.subnet}: too small for {settings.hosts} hosts from .{FIRST_HOST} on"
        )
    names = [f"cp{n + 1}" for n in range(settings.control_planes)]
    names += [f"w{n + 1}" for n in range(settings.hosts - settings.control_planes)]
    hosts = tuple(
        Host(name, str(subnet.network_address + FIRST_HOST + n), n < settings.control_planes)
        for n, name in enumerate(names)
    )
    inventory = settings.inventory or Path("inventory", settings.name, "hosts.yml")
    return Lab(
        name=settings.name,
        subnet=str(subnet),
        suite=settings.suite,
        base=str(base),
        dir=str(settings.dir.absolute()),
        inventory=str(inventory.absolute()),
        hosts=hosts,
        in_memory=settings.in_memory,
    )


def etc_hosts(lab: Lab) -> str:
    """/etc/hosts of every host: all hosts of the lab by name."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    return "\n".join([*lines, *(f"{host.address} {host.name}" for host in lab.hosts)]) + "\n"


def clash(subnet: str, taken: dict[str, list[str]]) -> str | None:
    """Who uses addresses of ``subnet`` (owner and network), from owner → networks; None when nobody does."""
    wanted = ipaddress.IPv4Network(subnet)
    for owner, networks in taken.items():
        for network in networks:
            if wanted.overlaps(ipaddress.IPv4Network(network, strict=False)):
                return f"{network} in {owner}"
    return None
