"""Telling the neighbours on the link that an address has moved here: gratuitous ARP, unsolicited NDP. Frames are pure.

RFC 5227 section 3 (ARP announcement: sender and target address are the announced one) and RFC 4861 section
7.2.6 (unsolicited neighbour advertisement with the override flag, to all nodes).
"""

from __future__ import annotations

import ipaddress
import socket
import struct

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_BROADCAST = b"\xff" * 6
_ETHERTYPE_ARP, _ETHERTYPE_IPV6 = 0x0806, 0x86DD
_ARP_REQUEST = 1
_ICMPV6, _NEIGHBOUR_ADVERTISEMENT, _OVERRIDE = 58, 136, 0x20000000
_TARGET_LINK_LAYER = 2
_ALL_NODES = ipaddress.IPv6Address("ff02::1")
_ALL_NODES_MAC = bytes.fromhex("333300000001")


def frame(address: Address, mac: bytes) -> bytes:
    """The Ethernet frame that announces ``address`` at ``mac`` (6 bytes)."""
    if address.version == 4:
        return _ethernet(_BROADCAST, mac, _ETHERTYPE_ARP) + _arp(address.packed, mac)
    return _ethernet(_ALL_NODES_MAC, mac, _ETHERTYPE_IPV6) + _advertisement(address.packed, mac)


def _ethernet(to: bytes, sender: bytes, ethertype: int) -> bytes:
    return to + sender + ethertype.to_bytes(2)


def _arp(address: bytes, mac: bytes) -> bytes:
    fixed = struct.pack("!HHBBH", 1, 0x0800, 6, 4, _ARP_REQUEST)
    return fixed + mac + address + bytes(6) + address


def _advertisement(address: bytes, mac: bytes) -> bytes:
    option = bytes((_TARGET_LINK_LAYER, 1)) + mac
    body = struct.pack("!I", _OVERRIDE) + address + option
    pseudo = address + _ALL_NODES.packed + struct.pack("!II", 4 + len(body), _ICMPV6)
    head = struct.pack("!BB", _NEIGHBOUR_ADVERTISEMENT, 0)
    icmp = head + _checksum(pseudo + head + b"\0\0" + body).to_bytes(2) + body
    # Hop limit 255: receivers drop neighbour messages that a router has forwarded.
    return struct.pack("!IHBB", 6 << 28, len(icmp), _ICMPV6, 255) + address + _ALL_NODES.packed + icmp


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def send(interface: str, address: Address, mac: bytes) -> None:
    """Put the announcement on the link. Raises OSError, without CAP_NET_RAW among others."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
        link.bind((interface, 0))
        link.send(frame(address, mac))
