"""Forgetting UDP flows that lead to endpoints which are gone.

The kernel chooses an endpoint for the first packet of a flow only. A UDP client that keeps its source port
(a resolver, for one) would go on sending to a pod that does not exist any more, or stay refused after the
first endpoint has come. TCP notices by itself.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from kdist.proxy.endpoints import Backend
from kdist.proxy.family import Family
from kdist.proxy.nfnetlink import ACK, DUMP, Attributes, NetfilterSocket, attribute, attributes
from kdist.proxy.plan import Flows

# linux/netfilter/nfnetlink_conntrack.h
_GET, _DELETE = (1 << 8) | 1, (1 << 8) | 2
_ORIGINAL, _REPLY, _FILTER = 1, 2, 25
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_FILTER_ORIGINAL_FLAGS, _FILTER_REPLY_FLAGS, _BY_PROTOCOL = 1, 2, 1 << 3
_SOURCE, _DESTINATION = (1, 3), (2, 4)  # attribute of IPv4, of IPv6
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Flow:
    """A tracked UDP flow: where the client sent it, and who answers. ``handle`` names it to the kernel."""

    destination: Backend
    answering: Backend
    handle: bytes = b""


def stale(flows: Iterable[Flow], allowed: Flows) -> list[Flow]:
    """Flows to a Service of ``allowed`` that are answered by somebody else than one of its endpoints. Pure."""
    found = []
    for flow in flows:
        backends = allowed.get((flow.destination.address, flow.destination.port))
        if backends is None and flow.answering != flow.destination:
            # A node port: any local address, so only translated flows can be told from strangers' ones.
            backends = allowed.get((None, flow.destination.port))
        if backends is not None and flow.answering not in backends:
            found.append(flow)
    return found


def forget_stale(netlink: NetfilterSocket, family: Family, allowed: Flows) -> int:
    """Delete stale flows from the kernel's table and return how many there were. Blocks. Raises OSError."""
    number = socket.AF_INET if family.nft == "ip" else socket.AF_INET6
    forgotten = 0
    for flow in stale(_flows(netlink, number), allowed):
        try:
            list(netlink.ask(_DELETE, ACK, number, attribute(_ORIGINAL, flow.handle, nested=True)))
            forgotten += 1
        except OSError as gone:
            if gone.errno != errno.ENOENT:
                raise
    return forgotten


def _flows(netlink: NetfilterSocket, family: int) -> list[Flow]:
    protocol = attribute(_NUMBER, bytes([socket.IPPROTO_UDP]))
    only_udp = attribute(_ORIGINAL, attribute(_TUPLE_PROTOCOL, protocol, nested=True), nested=True)
    flags = attribute(_FILTER_ORIGINAL_FLAGS, struct.pack("=I", _BY_PROTOCOL))
    flags += attribute(_FILTER_REPLY_FLAGS, struct.pack("=I", 0))
    query = only_udp + attribute(_FILTER, flags, nested=True)
    # Everything is read before anything is deleted: a dump over a changing table would skip entries.
    answers = [message.attributes for message in netlink.ask(_GET, DUMP, family, query)]
    return [_flow(found) for found in answers if _ORIGINAL in found and _REPLY in found]


def _flow(found: Attributes) -> Flow:
    return Flow(
        destination=_end(found[_ORIGINAL], _DESTINATION, _DESTINATION_PORT),
        answering=_end(found[_REPLY], _SOURCE, _SOURCE_PORT),
        handle=found[_ORIGINAL],
    )


def _end(data: bytes, address_kinds: tuple[int, int], port_kind: int) -> Backend:
    parts = attributes(data)
    addresses, protocol = attributes(parts[_TUPLE_IP]), attributes(parts[_TUPLE_PROTOCOL])
    packed = next(addresses[kind] for kind in address_kinds if kind in addresses)
    return Backend(str(ipaddress.ip_address(packed)), int.from_bytes(protocol[port_kind], "big"))
