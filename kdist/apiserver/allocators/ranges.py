"""The ranges that settings name: how large, where dynamic picks begin, what the members are called."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAX_SIZE = 1 << 20  # of an IPv6 range no more is used


@dataclass(frozen=True, slots=True)
class AddressRange:
    """A CIDR for cluster IPs: its network and broadcast addresses are never used."""

    network: Network

    @classmethod
    def parse(cls, cidr: str) -> AddressRange:
        """From ``10.96.0.0/16``. ValueError when it is no CIDR or has no room."""
        network = ipaddress.ip_network(cidr)
        if network.num_addresses < 4:
            raise ValueError(f"service-cluster-ip-range {cidr} has no room for a service")
        return cls(network)

    @property
    def family(self) -> str:
        """IPv4 or IPv6."""
        return f"IPv{self.network.version}"

    @property
    def first(self) -> str:
        """The address of the Service ``kubernetes``."""
        return str(self.network.network_address + 1)

    @property
    def size(self) -> int:
        """How many addresses can be used."""
        return min(self.network.num_addresses - 2, _MAX_SIZE)

    @property
    def reserved(self) -> int:
        """How many at the beginning are left to those who ask for an address: 16 to 256."""
        band = min(max(16, self.size // 16), 256)
        return band if band < self.size else 0

    def member(self) -> Callable[[int], str]:
        """Names the address at an index."""
        begin = self.network.network_address + 1
        return lambda at: str(begin + at)

    def contains(self, address: str) -> bool:
        """Whether an address may be given to a Service."""
        ip = ipaddress.ip_address(address)
        if ip.version != self.network.version or ip not in self.network:
            return False
        return 0 <= int(ip) - int(self.network.network_address) - 1 < self.size


@dataclass(frozen=True, slots=True)
class PortRange:
    """Node ports, both ends included."""

    low: int
    high: int

    @classmethod
    def parse(cls, text: str) -> PortRange:
        """From ``30000-32767``. ValueError when it is no range of ports."""
        low, dash, high = text.partition("-")
        ports = cls(int(low), int(high)) if dash else cls(int(low), int(low))
        if not 0 < ports.low <= ports.high < 65536:
            raise ValueError(f"service-node-port-range {text} is no range of ports")
        return ports

    @property
    def size(self) -> int:
        """How many ports there are."""
        return self.high - self.low + 1

    @property
    def reserved(self) -> int:
        """How many at the beginning are left to those who ask for a port: 16 to 128."""
        band = min(max(16, self.size // 32), 128)
        return band if band < self.size else 0

    def member(self) -> Callable[[int], str]:
        """Names the port at an index."""
        return lambda at: str(self.low + at)

    def contains(self, port: int) -> bool:
        """Whether a port is in the range."""
        return self.low <= port <= self.high
