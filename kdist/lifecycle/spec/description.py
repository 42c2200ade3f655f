"""A cluster as its operator described it, and what may stand in its way."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from kdist.lifecycle.spec.settings import ClusterSettings, HostSettings


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that stands in the way. ``host`` is an inventory name or ``all``; ``key`` may be empty."""

    host: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.host}: {self.key}: {self.reason}" if self.key else f"{self.host}: {self.reason}"


@dataclass(frozen=True, slots=True)
class HostSpec:
    """One host of the inventory. ``name`` is inventory name and node name; ``address6`` is empty without IPv6."""

    name: str
    address: str
    control_plane: bool
    settings: HostSettings
    address6: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses of the node, the primary one first."""
        return tuple(filter(None, (self.address, self.address6)))


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """A description: settings, hosts in inventory order, and what follows from them."""

    settings: ClusterSettings
    hosts: tuple[HostSpec, ...]

    @property
    def control_planes(self) -> tuple[HostSpec, ...]:
        """Hosts that carry the control plane."""
        return tuple(host for host in self.hosts if host.control_plane)

    @property
    def dns_address(self) -> str:
        """Address of the DNS Service."""
        first = self.settings.service_cidr.partition(",")[0]
        return self.settings.dns_address or str(ipaddress.ip_network(first)[10])

    @property
    def is_dual(self) -> bool:
        """Whether pods and Services have addresses of both families."""
        return "," in self.settings.pod_cidr
