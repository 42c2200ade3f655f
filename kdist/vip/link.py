"""The address on the interface, through rtnetlink."""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyroute2.netlink.exceptions import NetlinkError

from kdist.vip import announce
from kdist.vip.announce import Address

if TYPE_CHECKING:
    from pyroute2 import AsyncIPRoute


@dataclass(frozen=True, slots=True)
class Interface:
    """The interface that carries the address: ``mac`` is 6 bytes."""

    index: int
    name: str
    mac: bytes


class NoInterface(Exception):
    """No interface of this host has a network that the address belongs to."""


class Link:
    """The addresses of this network namespace. Methods raise NetlinkError."""

    def __init__(self, netlink: AsyncIPRoute) -> None:
        self._netlink = netlink

    async def interface_for(self, address: Address) -> Interface:
        """The interface whose network contains ``address``. Raises NoInterface."""
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        async for found in await self._netlink.get_addr(family=family):
            network = ipaddress.ip_network(
                f"{found.get_attr('IFA_ADDRESS')}/{found['prefixlen']}", strict=False
            )
            if address in network and network.prefixlen < network.max_prefixlen:
                return await self._interface(found["index"])
        raise NoInterface(
            f"no interface has a network with {address} in it: the virtual address must belong to the network of the "
            "control-plane hosts"
        )

    async def _interface(self, index: int) -> Interface:
        links = [link async for link in await self._netlink.get_links(index)]
        mac = bytes.fromhex(links[0].get_attr("IFLA_ADDRESS").replace(":", ""))
        return Interface(index, links[0].get_attr("IFLA_IFNAME"), mac)

    async def hold(self, interface: Interface, address: Address, seconds: int) -> None:
        """Have ``address`` for ``seconds`` more, without duplicate detection: the Lease has decided."""
        # preferred 0: never the source address of this host's own connections
        flags = {"flags": 0x02} if address.version == 6 else {}  # IFA_F_NODAD
        await self._netlink.addr(
            "replace",
            index=interface.index,
            address=str(address),
            prefixlen=address.max_prefixlen,
            preferred_lft=0,
            valid_lft=seconds,
            **flags,
        )

    async def drop(self, interface: Interface, address: Address) -> None:
        """Not have ``address`` any more."""
        try:
            await self._netlink.addr(
                "del", index=interface.index, address=str(address), prefixlen=address.max_prefixlen
            )
        except NetlinkError as error:
            if error.code != errno.EADDRNOTAVAIL:  # it has expired
                raise

    def announce(self, interface: Interface, address: Address) -> None:
        """Tell the neighbours. Raises OSError, without CAP_NET_RAW among others."""
        announce.send(interface.name, address, interface.mac)
