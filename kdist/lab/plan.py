"""What a lab consists of: names, addresses, paths and the commands that make it so. Pure.

Everything a lab creates on the machine carries its name: the network namespaces ``kdist-NAME`` (bridge) and
``kdist-NAME-HOST``, the cgroup ``kdist-NAME`` and the directory ``DIR/labs/NAME``. Nothing else is touched.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
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
    """One host: ``address`` without prefix length, ``control_plane`` or worker, Debian release, IPv6 if it has any."""

    name: str
    address: str
    control_plane: bool
    suite: str = "bookworm"
    address6: str = ""

    @property
    def addresses(self) -> str:
        """All of them with a comma between."""
        return ",".join(filter(None, (self.address, self.address6)))

    @property
    def mac(self) -> str:
        """Fixed by the address: a host that came back with a new one would meet stale ARP entries for 30 s."""
        return "02:4d:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(self.address).packed)


@dataclass(frozen=True)
class Lab:
    """A lab as planned; stored as JSON beside its hosts. ``bases`` is the base image of each release in use."""

    name: str
    subnet: str
    bases: dict[str, str]
    dir: str
    inventory: str
    hosts: tuple[Host, ...]
    in_memory: bool = False
    subnet6: str = ""

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
    def gateway6(self) -> str:
        """The bridge's IPv6 address; empty without ``subnet6``."""
        return str(ipaddress.IPv6Network(self.subnet6)[1]) if self.subnet6 else ""

    @property
    def prefix_length6(self) -> int:
        """Of ``subnet6``."""
        return ipaddress.IPv6Network(self.subnet6).prefixlen

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
        """Whether both have the same hosts; bases may be of an older recipe, the inventory elsewhere."""
        return replace(self, bases={}, inventory="") == replace(other, bases={}, inventory="")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Lab:
        """What :meth:`to_json` wrote, or that of a kdist whose labs had hosts of one release only."""
        if suite := data.pop("suite", None):
            data["bases"] = {suite: data.pop("base")}
            data["hosts"] = [{**host, "suite": suite} for host in data["hosts"]]
        return cls(**{**data, "hosts": tuple(Host(**host) for host in data["hosts"])})


def lab_path(directory: Path, name: str) -> Path:
    """Where the lab of that name lives."""
    return directory / "labs" / name


def check_name(name: str) -> str:
    """The name itself. LabError unless it can be part of an interface, a cgroup and a directory name."""
    if not NAME.fullmatch(name):
        raise LabError(f"--name {name}: up to 12 lower-case letters, digits and dashes, a letter first")
    return name


def plan_lab(settings: LabSettings, base_of: Callable[[str], Path]) -> Lab:
    """The lab these settings ask for: cp1.. and w1.., addresses from the 11th on. LabError on bad settings.

    ``base_of``: where the base image of a Debian release is kept.
    """
    check_name(settings.name)
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
    subnet6 = _subnet6(settings.subnet6)
    names = [f"cp{n + 1}" for n in range(settings.control_planes)]
    names += [f"w{n + 1}" for n in range(settings.hosts - settings.control_planes)]
    suites = _suites(settings.suite, names)
    hosts = tuple(
        Host(
            name,
            str(subnet.network_address + FIRST_HOST + n),
            n < settings.control_planes,
            suites[name],
            # The same digits at the end as in IPv4: fd77::11 belongs to 10.77.0.11.
            str(subnet6.network_address + int(str(FIRST_HOST + n), 16)) if subnet6 else "",
        )
        for n, name in enumerate(names)
    )
    inventory = settings.inventory or Path("inventory", settings.name, "hosts.yml")
    return Lab(
        name=settings.name,
        subnet=str(subnet),
        bases={suite: str(base_of(suite)) for suite in sorted(set(suites.values()))},
        dir=str(settings.dir.absolute()),
        inventory=str(inventory.absolute()),
        hosts=hosts,
        in_memory=settings.in_memory,
        subnet6=str(subnet6 or ""),
    )


def _subnet6(text: str) -> ipaddress.IPv6Network | None:
    """The IPv6 range; None for none. LabError when it is no range, or too small for any lab."""
    if not text:
        return None
    try:
        found = ipaddress.IPv6Network(text)
    except ValueError as error:
        raise LabError(f"--subnet6 {text}: {error}") from error
    if found.prefixlen > 112:
        raise LabError(f"--subnet6 {text}: too small, /112 is the least")
    return found


def _suites(given: tuple[str, ...], names: list[str]) -> dict[str, str]:
    """The release of each host, from releases for all (one) and HOST=RELEASE. LabError on what is neither."""
    told = f"--suite {','.join(given)}"
    single = dict(part.split("=", 1) for part in given if "=" in part)
    general = [part for part in given if "=" not in part] or [SUITES[0]]
    if unknown := sorted({*general, *single.values()} - set(SUITES)):
        raise LabError(f"{told}: there is no {', '.join(unknown)}; choose one of {', '.join(SUITES)}")
    if len(general) > 1:
        raise LabError(f"{told}: one release for all hosts, and HOST=RELEASE for those that differ")
    if strangers := sorted(single.keys() - set(names)):
        raise LabError(f"{told}: no host {', '.join(strangers)}; the lab has {', '.join(names)}")
    return {name: single.get(name, general[0]) for name in names}


def etc_hosts(lab: Lab) -> str:
    """/etc/hosts of every host: all hosts of the lab by name."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    named = [(a, host.name) for host in lab.hosts for a in (host.address, host.address6) if a]
    return "\n".join([*lines, *(f"{address} {name}" for address, name in named)]) + "\n"


def clash(subnet: str, taken: dict[str, list[str]]) -> str | None:
    """Who uses addresses of ``subnet`` (owner and network), from owner → networks; None when nobody does."""
    wanted = ipaddress.IPv4Network(subnet)
    for owner, networks in taken.items():
        for network in networks:
            if wanted.overlaps(ipaddress.IPv4Network(network, strict=False)):
                return f"{network} in {owner}"
    return None
