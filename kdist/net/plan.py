"""What this host's kernel and CNI configuration must look like, from all hosts of the cluster. Pure.

A host whose address is in the uplink's own subnet is reached by a plain route to its address. Any other one is
reached through VXLAN: every host has a tunnel device whose address and MAC follow from its pod range, so hosts
need to know nothing of each other but their Nodes.

Each family is judged by itself, but there is one tunnel: it goes from IPv4 address to IPv4 address and carries
both. Its IPv6 gateways are link-local, so that they never depend on the routes that lead through them.
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

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Uplink:
    """The interface that has this host's address of one family."""

    index: int
    mtu: int
    subnet: Network
    name: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """To the pods of another host: via its address on the uplink, or through the tunnel."""

    destination: Network
    gateway: Address
    tunnelled: bool


@dataclass(frozen=True, slots=True, order=True)
class Neighbour:
    """Another end of the tunnel: ``overlay`` has ``mac``, and ``mac`` is at ``host``.

    ``overlay6``, in dual stack, has that ``mac`` too.
    """

    overlay: ipaddress.IPv4Address
    mac: str
    host: ipaddress.IPv4Address
    overlay6: ipaddress.IPv6Address | None = None


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
    """Everything at once; ``tunnel`` is None when no host needs it, ``pods6`` when pods have one address only."""

    pods: ipaddress.IPv4Network
    mtu: int
    routes: frozenset[Route]
    tunnel: Tunnel | None
    pods6: ipaddress.IPv6Network | None = None


def overlay_address(pods: ipaddress.IPv4Network) -> ipaddress.IPv4Address:
    """The address of a host's tunnel device: the pod range's first, which no pod can have."""
    return pods.network_address


def overlay_mac(pods: ipaddress.IPv4Network) -> str:
    """The locally administered MAC of a host's tunnel device."""
    return ":".join(f"{octet:02x}" for octet in (0x0A, 0x58, *overlay_address(pods).packed))


def overlay_address6(pods: ipaddress.IPv4Network) -> ipaddress.IPv6Address:
    """The link-local address of a host's tunnel device, made from its MAC as the kernel makes it."""
    octets = (0x0A ^ 0x02, 0x58, *overlay_address(pods).packed)
    interface = bytes((*octets[:3], 0xFF, 0xFE, *octets[3:]))
    return ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + interface)


def make(
    own: Host,
    hosts: Iterable[Host],
    uplink: Uplink,
    uplink6: Uplink | None = None,
    *,
    encapsulation: str,
    mtu: int = 0,
) -> Plan:
    """The plan of host ``own``; ``mtu`` of 0 takes the uplink's, less the tunnel's overhead if there is one.

    ``uplink6``: the interface that has this host's IPv6 address, None without such an address.
    """
    peers = sorted(h for h in hosts if h.name != own.name and not h.pods.overlaps(own.pods))
    ways = {h: _way(h.address, uplink, encapsulation) for h in peers}
    ways6 = {h: _way(h.address6, uplink6, encapsulation) for h in peers if _exchanges_ipv6(own, h)}
    routes = {
        Route(h.pods, overlay_address(h.pods) if way == "tunnel" else h.address, way == "tunnel")
        for h, way in ways.items()
        if way
    }
    for h, way in ways6.items():
        gateway = overlay_address6(h.pods) if way == "tunnel" else h.address6
        if way and gateway and h.pods6:
            routes.add(Route(h.pods6, gateway, way == "tunnel"))
    tunnelled = {h for found in (ways, ways6) for h, way in found.items() if way == "tunnel"}
    mtus = [found.mtu for found in (uplink, uplink6 if own.pods6 else None) if found]
    pod_mtu = mtu or min(mtus) - (VXLAN_OVERHEAD if tunnelled else 0)
    tunnel = _tunnel(own, tunnelled, uplink) if tunnelled else None
    return Plan(own.pods, pod_mtu, frozenset(routes), tunnel, own.pods6)


def _exchanges_ipv6(own: Host, peer: Host) -> bool:
    return bool(own.pods6 and peer.pods6 and not peer.pods6.overlaps(own.pods6))


def _way(address: Address | None, uplink: Uplink | None, encapsulation: str) -> str:
    """``tunnel``, ``route``, or nothing: the network between the hosts has to know."""
    if encapsulation == "always":
        return "tunnel"
    if address is not None and uplink is not None and address in uplink.subnet:
        return "route"
    return "tunnel" if encapsulation == "auto" else ""


def _tunnel(own: Host, peers: Iterable[Host], uplink: Uplink) -> Tunnel:
    return Tunnel(
        local=own.address,
        address=overlay_address(own.pods),
        mac=overlay_mac(own.pods),
        mtu=uplink.mtu - VXLAN_OVERHEAD,
        neighbours=frozenset(
            Neighbour(
                overlay_address(h.pods),
                overlay_mac(h.pods),
                h.address,
                overlay_address6(h.pods) if _exchanges_ipv6(own, h) else None,
            )
            for h in peers
        ),
    )
