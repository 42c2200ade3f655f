"""What this host's kernel and CNI configuration must look like, from all hosts of the cluster. Pure.

A host whose address is in the uplink's own subnet is reached by a plain route to its address. Any other one is
reached through VXLAN: every host has a tunnel device whose address and MAC follow from its pod range, so hosts
need to know nothing of each other but their Nodes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from kdist.net.hosts import Host

VXLAN_DEVICE = "kdist-vxlan"
VXLAN_ID = 4096  # the range below is what other overlays use by default
VXLAN_PORT = 8472  # Linux' own default
# Outer Ethernet, IPv4, UDP and VXLAN headers.
VXLAN_OVERHEAD = 50

ENCAPSULATIONS = ("auto", "always", "never")


@dataclass(frozen=True, slots=True)
class Uplink:
    """The interface that has this host's address."""

    index: int
    mtu: int
    subnet: ipaddress.IPv4Network


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """To the pods of another host: via its address on the uplink, or through the tunnel."""

    destination: ipaddress.IPv4Network
    gateway: ipaddress.IPv4Address
    tunnelled: bool


@dataclass(frozen=True, slots=True, order=True)
class Neighbour:
    """Another end of the tunnel: ``overlay`` has ``mac``, and ``mac`` is at ``host``."""

    overlay: ipaddress.IPv4Address
    mac: str
    host: ipaddress.IPv4Address


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The VXLAN device of this host."""

    local: ipaddress.IPv4Address
    address: ipaddress.IPv4Address
    mac: str
    mtu: int
    neighbours: frozenset[Neighbour]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything at once; ``tunnel`` is None when no host needs it."""

    pods: ipaddress.IPv4Network
    mtu: int
    routes: frozenset[Route]
    tunnel: Tunnel | None


def overlay_address(pods: ipaddress.IPv4Network) -> ipaddress.IPv4Address:
    """The address of a host's tunnel device: the pod range's first, which no pod can have."""
    return pods.network_address


def overlay_mac(pods: ipaddress.IPv4Network) -> str:
    """The locally administered MAC of a host's tunnel device."""
    return ":".join(f"{octet:02x}" for octet in (0x0A, 0x58, *overlay_address(pods).packed))


def make(own: Host, hosts: Iterable[Host], uplink: Uplink, *, encapsulation: str, mtu: int = 0) -> Plan:
    """The plan of host ``own``; ``mtu`` of 0 takes the uplink's, less the tunnel's overhead if there is one."""
    peers = sorted(h for h in hosts if h.name != own.name and not h.pods.overlaps(own.pods))
    tunnelled = {h for h in peers if _needs_tunnel(h, uplink, encapsulation)}
    pod_mtu = mtu or uplink.mtu - (VXLAN_OVERHEAD if tunnelled else 0)
    routes = frozenset(
        Route(h.pods, overlay_address(h.pods), tunnelled=True)
        if h in tunnelled
        else Route(h.pods, h.address, tunnelled=False)
        for h in peers
        if h in tunnelled or h.address in uplink.subnet
    )
    return Plan(own.pods, pod_mtu, routes, _tunnel(own, tunnelled, uplink) if tunnelled else None)


def _needs_tunnel(host: Host, uplink: Uplink, encapsulation: str) -> bool:
    if encapsulation == "auto":
        return host.address not in uplink.subnet
    return encapsulation == "always"


def _tunnel(own: Host, peers: Iterable[Host], uplink: Uplink) -> Tunnel:
    return Tunnel(
        local=own.address,
        address=overlay_address(own.pods),
        mac=overlay_mac(own.pods),
        mtu=uplink.mtu - VXLAN_OVERHEAD,
        neighbours=frozenset(
            Neighbour(overlay_address(h.pods), overlay_mac(h.pods), h.address) for h in peers
        ),
    )
