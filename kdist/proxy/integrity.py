"""Noticing that something else removed the proxy's table, without reading the table.

The kernel counts a generation for every nftables change on the host. Only when somebody else moved it is our
table looked at, and then only at its identity: its handle and how many chains and sets it has.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from kdist.proxy.family import Family
from kdist.proxy.nfnetlink import NetfilterSocket, attribute
from kdist.proxy.table import TABLE

# linux/netfilter/nf_tables.h
_SUBSYSTEM = 10 << 8
_GET_TABLE, _GET_GENERATION = _SUBSYSTEM | 1, _SUBSYSTEM | 16
_TABLE_NAME, _TABLE_USE, _TABLE_HANDLE = 1, 3, 4
_GENERATION_ID = 1
_NFPROTO = {"ip": 2, "ip6": 10}


@dataclass(frozen=True, slots=True)
class Mark:
    """What the table looked like. Equal marks of an equal generation mean that nothing changed at all."""

    generation: int
    handle: bytes
    objects: bytes

    def same_table(self, other: Mark) -> bool:
        """Whether it is still the same table with the same number of chains and sets."""
        return (self.handle, self.objects) == (other.handle, other.objects)


def observe(netlink: NetfilterSocket, family: Family) -> Mark | None:
    """The table's mark, None when there is no table. Raises OSError."""
    number = _NFPROTO[family.nft]
    answer = next(netlink.ask(_GET_GENERATION, 0, number))
    generation = int.from_bytes(answer.attributes[_GENERATION_ID], "big")
    try:
        name = attribute(_TABLE_NAME, TABLE.encode() + b"\0")
        table = next(netlink.ask(_GET_TABLE, 0, number, name)).attributes
    except OSError as missing:
        if missing.errno == errno.ENOENT:
            return None
        raise
    return Mark(generation, table[_TABLE_HANDLE], table[_TABLE_USE])
