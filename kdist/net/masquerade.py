"""Pods that talk to the world outside do so with their host's address: one small nftables table."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence

TABLE = "kdist-net"
# Just after the service proxy's turn (srcnat): its own masquerade, if any, comes first.
_TABLE = """
table ip {table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat + 10; policy accept;
    ip saddr != {pods} return
    ip daddr {{ {inside}, 224.0.0.0/4 }} return
    masquerade fully-random
  }}
}}
"""


class NftFailed(Exception):
    """The nft command refused; the message is its own."""


def ruleset(pods: ipaddress.IPv4Network, cluster: Sequence[str]) -> str:
    """The table as one transaction that replaces an earlier one. Pure."""
    inside = ", ".join(_collapsed([str(pods), *(cidr for cidr in cluster if ":" not in cidr)]))
    table = _TABLE.format(table=TABLE, pods=pods, inside=inside)
    return f"add table ip {TABLE}\ndelete table ip {TABLE}\n{table}"


def _collapsed(cidrs: Sequence[str]) -> list[str]:
    """Without overlaps, which an interval set does not take."""
    return [str(n) for n in ipaddress.collapse_addresses(ipaddress.IPv4Network(cidr) for cidr in cidrs)]


async def ensure(wanted: str, *, changed: bool) -> bool:
    """Apply ``wanted`` when it ``changed`` or the table has vanished; True if so. Raises NftFailed."""
    if not changed and await _is_there():
        return False
    code, errors = await _nft("-f", "-", text=wanted)
    if code:
        raise NftFailed(errors)
    return True


async def _is_there() -> bool:
    code, _ = await _nft("list", "chain", "ip", TABLE, "postrouting")
    return code == 0


async def _nft(*arguments: str, text: str = "") -> tuple[int, str]:
    """(exit code, error text) of an nft command."""
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec("nft", *arguments, stdin=pipe, stdout=null, stderr=pipe)
    _, errors = await process.communicate(text.encode())
    return await process.wait(), errors.decode(errors="replace").strip()
