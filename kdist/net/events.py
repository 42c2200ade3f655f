"""Noticing that somebody else changed the routes or interfaces which the pod network relies on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterator

# linux/rtnetlink.h
_GROUP_LINK, _GROUP_IPV4_ADDRESS, _GROUP_IPV4_ROUTE = 0x1, 0x10, 0x40
_GROUPS = _GROUP_LINK | _GROUP_IPV4_ADDRESS | _GROUP_IPV4_ROUTE
_GROUP_IPV6_ADDRESS, _GROUP_IPV6_ROUTE = 0x100, 0x400
_GROUPS_DUAL = _GROUPS | _GROUP_IPV6_ADDRESS | _GROUP_IPV6_ROUTE
_LINKS, _ADDRESSES, _ROUTES = (16, 17), (20, 21), (24, 25)
_HEADER = struct.Struct("=IHHII")
# The mark on our routes (rtm_protocol): the kernel keeps it, everybody else leaves such routes alone.
ROUTE_PROTOCOL = 112


def concerns(data: bytes, interfaces: frozenset[int]) -> bool:
    """Whether a datagram from the kernel tells of one of our routes or of one of ``interfaces``. Pure.

    Every pod that starts or ends makes a dozen messages about its own interfaces, which are passed over.
    """
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
        body = data[offset + _HEADER.size : offset + length]
        if kind in _ROUTES and body[5] == ROUTE_PROTOCOL:
            return True
        if kind in (*_LINKS, *_ADDRESSES) and struct.unpack_from("=i", body, 4)[0] in interfaces:
            return True
        offset += max((length + 3) & ~3, _HEADER.size)
    return False


@contextlib.contextmanager
def watch(
    interfaces: Callable[[], frozenset[int]], wake: Callable[[], None], *, dual: bool = False
) -> Iterator[None]:
    """Call ``wake`` while the block runs, whenever something of ours changed. Raises OSError.

    ``dual``: in IPv6 too.
    """
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.bind((0, _GROUPS_DUAL if dual else _GROUPS))
        netlink.setblocking(False)

        def read() -> None:
            try:
                changed = concerns(netlink.recv(1 << 16), interfaces())
            except BlockingIOError:
                return
            except OSError:  # ENOBUFS: the kernel dropped messages, so anything may have changed
                changed = True
            if changed:
                wake()

        loop.add_reader(netlink, read)
        try:
            yield
        finally:
            loop.remove_reader(netlink)
