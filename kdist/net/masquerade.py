"""Pods that talk to the world outside do so with their host's address: one small nftables table a family."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

TABLE = "kdist-net"
Network = IPv4Network | IPv6Network
_MULTICAST = {"ip": "224.0.0.0/4", "ip6": "ff00::/8"}
# Just after the service proxy's turn (srcnat): its own masquerade, if any, comes first.
_TABLE = """
table {ip} {table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat + 10; policy accept;
    {ip} saddr != {pods} return
    {ip} daddr {{ {inside}, {multicast} }} return
    masquerade fully-random
  }}
}}
"""


class NftFailed(Exception):
    """The nft command refused; the message is its own."""


def ruleset(pods: Network, cluster: Sequence[str]) -> str:
    """The table as one transaction that replaces an earlier one, in the family of ``pods``. Pure."""
    ip = family(pods)
    inside = ", ".join(
        _collapsed([pods, *(n for c in cluster if (n := ip_network(c)).version == pods.version)])
    )
    table = _TABLE.format(ip=ip, table=TABLE, pods=pods, inside=inside, multicast=_MULTICAST[ip])
    return f"add table {ip} {TABLE}\ndelete table {ip} {TABLE}\n{table}"


def family(pods: Network) -> str:
    """nftables' name of the family."""
    return "ip" if pods.version == 4 else "ip6"


def _collapsed(networks: Sequence[Network]) -> list[str]:
    """Without overlaps, which an interval set does not take. All are of one family."""
    # The stubs take one family or the other, not the union, whose members never mix here.
    return [str(n) for n in collapse_addresses(networks)]  # type: ignore[type-var]


async def ensure(wanted: str, *, changed: bool, family: str = "ip") -> bool:
    """Apply ``wanted`` when it ``changed`` or the family's table has vanished; True if so. Raises NftFailed."""
    if not changed and await _is_there(family):
        return False
    code, errors = await _nft("-f", "-", text=wanted)
    if code:
        raise NftFailed(errors)
    return True


async def _is_there(family: str) -> bool:
    code, _ = await _nft("list", "chain", family, TABLE, "postrouting")
    return code == 0


async def _nft(*arguments: str, text: str = "") -> tuple[int, str]:
    """(exit code, error text) of an nft command."""
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec("nft", *arguments, stdin=pipe, stdout=null, stderr=pipe)
    _, errors = await process.communicate(text.encode())
    return await process.wait(), errors.decode(errors="replace").strip()
