"""Handing out equal parts of the cluster's pod ranges. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class RangeExhausted(Exception):
    """Every part of a cluster CIDR belongs to a node."""


class Ranges:
    """The parts of one cluster CIDR, taken and free."""

    def __init__(self, cluster: str, mask: int) -> None:
        """Raises ValueError when the CIDR is wrong or smaller than a node's part."""
        self.cluster: Network = ipaddress.ip_network(cluster)
        if mask < self.cluster.prefixlen or mask > self.cluster.max_prefixlen:
            raise ValueError(f"a node range of /{mask} does not fit into {cluster}")
        self._mask = mask
        self._count = 1 << (mask - self.cluster.prefixlen)
        self._size = 1 << (self.cluster.max_prefixlen - mask)
        self._taken: dict[int, str] = {}
        self._next = 0

    def occupy(self, cidr: str, node: str) -> str | None:
        """Note what a node has already; returns another node that has it too."""
        try:
            network = ipaddress.ip_network(cidr)
        except ValueError:
            return None
        if network.version != self.cluster.version or network.network_address not in self.cluster:
            return None
        return self._taken.setdefault(self._index(network), node)

    def release(self, node: str) -> None:
        """The node is gone."""
        for index in [i for i, owner in self._taken.items() if owner == node]:
            del self._taken[index]

    def allocate(self, node: str) -> str:
        """The next free part, going round so that one just released rests longest. Raises RangeExhausted."""
        for step in range(self._count):
            index = (self._next + step) % self._count
            if index not in self._taken:
                self._taken[index], self._next = node, index + 1
                first = self.cluster.network_address + index * self._size
                return f"{first}/{self._mask}"
        raise RangeExhausted(f"{self.cluster} has no /{self._mask} left")

    def _index(self, network: Network) -> int:
        return (int(network.network_address) - int(self.cluster.network_address)) // self._size


def missing(ranges: Sequence[Ranges], held: Iterable[str]) -> list[Ranges]:
    """The ranges from which a node that has ``held`` gets something: all when it has nothing, else the second family.

    A node without anything of the first family got what it has from elsewhere and is left alone.
    """
    families = {6 if ":" in cidr else 4 for cidr in held}
    if families and ranges and ranges[0].cluster.version not in families:
        return []
    return [found for found in ranges if found.cluster.version not in families]


def ranges(clusters: Iterable[str], mask_ipv4: int, mask_ipv6: int) -> list[Ranges]:
    """One set of parts per cluster CIDR. Raises ValueError."""
    return [Ranges(c, mask_ipv6 if ":" in c else mask_ipv4) for c in clusters]
