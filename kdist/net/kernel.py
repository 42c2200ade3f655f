"""Bringing the kernel's routes and tunnel in line with the plan, through rtnetlink.

Only what is ours is touched: routes marked with :data:`events.ROUTE_PROTOCOL` and the device
:data:`plan.VXLAN_DEVICE`.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError as KernelError

from kdist.net.events import ROUTE_PROTOCOL
from kdist.net.plan import VXLAN_DEVICE, VXLAN_ID, VXLAN_PORT, Address, Plan, Route, Tunnel, Uplink

__all__ = ["Kernel", "KernelError"]

_ONLINK = 4
_PERMANENT = 0x80
_NTF_SELF = 2


class Kernel:
    """Routes, neighbours and the tunnel device of this network namespace. Methods raise KernelError."""

    def __init__(self, netlink: AsyncIPRoute) -> None:
        self._netlink = netlink

    async def uplink(self, address: Address) -> Uplink | None:
        """The interface that has ``address``, None while there is none."""
        # The kernel tells the address of IPv4 as the local one, that of IPv6 as the address alone.
        key = {"local": str(address)} if address.version == 4 else {"address": str(address)}
        async for found in await self._netlink.get_addr(family=_family(address), **key):
            index = found["index"]
            links = [link async for link in await self._netlink.get_links(index)]
            subnet = ipaddress.ip_network(f"{address}/{found['prefixlen']}", strict=False)
            link = links[0]
            return Uplink(index, link.get_attr("IFLA_MTU"), subnet, link.get_attr("IFLA_IFNAME"))
        return None

    async def tunnel_index(self) -> int | None:
        """The index of our tunnel device."""
        found = await self._netlink.link_lookup(ifname=VXLAN_DEVICE)
        return found[0] if found else None

    async def apply(self, plan: Plan, uplink: Uplink, uplink6: Uplink | None = None) -> int:
        """Make the kernel match; returns how many things were changed. IPv6 is left alone without ``plan.pods6``."""
        changes = 0
        index = await self.tunnel_index()
        if plan.tunnel:
            index, made = await self._ensure_tunnel(plan.tunnel, uplink, index)
            changes += made + await self._ensure_neighbours(plan.tunnel, index)
            if plan.pods6:
                changes += await self._ensure_neighbours6(plan.tunnel, index)
        changes += await self._ensure_routes(plan, 4, uplink, index)
        if plan.pods6:
            changes += await self._ensure_routes(plan, 6, uplink6, index)
        if not plan.tunnel and index is not None:
            await self._netlink.link("del", index=index)
            changes += 1
        return changes

    async def _ensure_tunnel(self, tunnel: Tunnel, uplink: Uplink, index: int | None) -> tuple[int, int]:
        if index is not None and await self._is_as_wanted(index, tunnel, uplink):
            return index, 0
        if index is not None:  # most of a VXLAN device's settings cannot be changed
            await self._netlink.link("del", index=index)
        await self._netlink.link(
            "add",
            ifname=VXLAN_DEVICE,
            kind="vxlan",
            address=tunnel.mac,
            mtu=tunnel.mtu,
            vxlan_id=VXLAN_ID,
            vxlan_port=VXLAN_PORT,
            vxlan_local=str(tunnel.local),
            vxlan_link=uplink.index,
            vxlan_learning=False,
        )
        index = await self.tunnel_index()
        if index is None:
            raise KernelError(19, f"{VXLAN_DEVICE} vanished")
        await self._netlink.addr("replace", index=index, address=str(tunnel.address), prefixlen=32)
        await self._netlink.link("set", index=index, state="up")
        return index, 1

    async def _is_as_wanted(self, index: int, tunnel: Tunnel, uplink: Uplink) -> bool:
        links = [link async for link in await self._netlink.get_links(index)]
        link = links[0]
        info = link.get_attr("IFLA_LINKINFO")
        data = (
            info.get_attr("IFLA_INFO_DATA") if info and info.get_attr("IFLA_INFO_KIND") == "vxlan" else None
        )
        if data is None or link["state"] != "up":
            return False
        addresses = [
            a.get_attr("IFA_LOCAL")
            async for a in await self._netlink.get_addr(family=socket.AF_INET, index=index)
        ]
        return bool(
            link.get_attr("IFLA_ADDRESS") == tunnel.mac
            and link.get_attr("IFLA_MTU") == tunnel.mtu
            and data.get_attr("IFLA_VXLAN_ID") == VXLAN_ID
            and data.get_attr("IFLA_VXLAN_PORT") == VXLAN_PORT
            and data.get_attr("IFLA_VXLAN_LOCAL") == str(tunnel.local)
            and data.get_attr("IFLA_VXLAN_LINK") == uplink.index
            and addresses == [str(tunnel.address)]
        )

    async def _ensure_neighbours(self, tunnel: Tunnel, index: int) -> int:
        found = [n async for n in await self._netlink.get_neighbours(family=socket.AF_INET, ifindex=index)]
        macs = {n.get_attr("NDA_DST"): n.get_attr("NDA_LLADDR") for n in found if n["state"] & _PERMANENT}
        table = [e async for e in await self._netlink.fdb("dump", ifindex=index)]
        ends = {e.get_attr("NDA_LLADDR"): e.get_attr("NDA_DST") for e in table}
        changes = 0
        for peer in tunnel.neighbours:
            if macs.pop(str(peer.overlay), None) != peer.mac:
                await self._neighbour("replace", index, str(peer.overlay), peer.mac)
                changes += 1
            if ends.pop(peer.mac, None) != str(peer.host):
                await self._forwarding("replace", index, peer.mac, str(peer.host))
                changes += 1
        for overlay in macs:
            await self._netlink.neigh("del", family=socket.AF_INET, ifindex=index, dst=overlay)
        for mac, host in ends.items():
            if host:
                await self._forwarding("del", index, mac, host)
        return changes + len(macs)

    async def _ensure_neighbours6(self, tunnel: Tunnel, index: int) -> int:
        found = [n async for n in await self._netlink.get_neighbours(family=socket.AF_INET6, ifindex=index)]
        macs = {n.get_attr("NDA_DST"): n.get_attr("NDA_LLADDR") for n in found if n["state"] & _PERMANENT}
        wanted = {str(peer.overlay6): peer.mac for peer in tunnel.neighbours if peer.overlay6}
        stale = [overlay for overlay in macs if overlay not in wanted]
        missing = {overlay: mac for overlay, mac in wanted.items() if macs.get(overlay) != mac}
        for overlay, mac in missing.items():
            await self._neighbour("replace", index, overlay, mac)
        for overlay in stale:
            await self._netlink.neigh("del", family=socket.AF_INET6, ifindex=index, dst=overlay)
        return len(missing) + len(stale)

    async def _neighbour(self, verb: str, index: int, overlay: str, mac: str) -> None:
        family = socket.AF_INET6 if ":" in overlay else socket.AF_INET
        await self._netlink.neigh(
            verb, family=family, ifindex=index, dst=overlay, lladdr=mac, state=_PERMANENT
        )

    async def _forwarding(self, verb: str, index: int, mac: str, host: str) -> None:
        await self._netlink.fdb(verb, ifindex=index, lladdr=mac, dst=host, flags=_NTF_SELF)

    async def _ensure_routes(
        self, plan: Plan, version: int, uplink: Uplink | None, tunnel: int | None
    ) -> int:
        """The routes of one IP version; ``uplink`` is that version's."""
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        present: dict[tuple[str, str, int], Any] = {}
        async for route in await self._netlink.get_routes(family=family, proto=ROUTE_PROTOCOL):
            destination = f"{route.get_attr('RTA_DST')}/{route['dst_len']}"
            present[destination, route.get_attr("RTA_GATEWAY"), route.get_attr("RTA_OIF")] = route
        routes = (route for route in plan.routes if route.destination.version == version)
        wanted = {_coordinates(route, uplink, tunnel): route for route in routes}
        kept = {destination for destination, _, _ in wanted}
        for destination, gateway, device in wanted.keys() - present.keys():
            # A link-local gateway is on its link anyway.
            onlink = version == 4 and wanted[destination, gateway, device].tunnelled
            await self._netlink.route(
                "replace",
                family=family,
                dst=destination,
                gateway=gateway,
                oif=device,
                proto=ROUTE_PROTOCOL,
                flags=_ONLINK if onlink else 0,
            )
        # A replaced route is gone already; only those to hosts that have left remain.
        stale = [entry for entry in present.keys() - wanted.keys() if entry[0] not in kept]
        for destination, gateway, device in stale:
            await self._netlink.route(
                "del", family=family, dst=destination, gateway=gateway, oif=device, proto=ROUTE_PROTOCOL
            )
        return len(wanted.keys() - present.keys()) + len(stale)


def _coordinates(route: Route, uplink: Uplink | None, tunnel: int | None) -> tuple[str, str, int]:
    device = tunnel if route.tunnelled else uplink.index if uplink else None
    if device is None:
        raise KernelError(19, f"no interface for {route.destination}")
    return str(route.destination), str(route.gateway), device


def _family(address: Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6
