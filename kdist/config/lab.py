"""Settings of ``kdist lab up``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdist.config.base import option

LAB_DIR = Path("/var/lib/kdist-lab")
DEFAULT_NAME = "lab"


@dataclass(frozen=True, kw_only=True)
class LabSettings:
    """One lab: how many hosts, of which release, in which address range."""

    hosts: int = option(3, help="Hosts in all; those that are not control-plane hosts are workers.")
    control_planes: int = option(1, help="Control-plane hosts among them, each with etcd.")
    name: str = option(DEFAULT_NAME, help="Name of the lab; several labs coexist under different names.")
    subnet: str = option("10.77.0.0/24", help="IPv4 range of the lab; hosts begin at its 11th address.")
    subnet6: str = option(
        "", help="IPv6 range of the lab, such as fd77::/64: hosts have an address of each; none: IPv4 only."
    )
    suite: tuple[str, ...] = option(
        ("bookworm",),
        help="Debian release of the hosts, bookworm or trixie, and of single ones: bookworm,w1=trixie.",
    )
    dir: Path = option(LAB_DIR, help="Where base images and hosts live; not on an overlay file system.")
    in_memory: bool = option(
        False,
        help="Keep the hosts' disks in memory (tmpfs): writes are never waited for; about 1 GB for each host.",
    )
    inventory: Path | None = option(
        None, help="Ansible inventory to write; by default inventory/NAME/hosts.yml in the current directory."
    )
