"""Gives Services their cluster IPs and node ports, as companion keys of their writes."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterable, Iterator, Mapping

from kdist.api import errors, meta
from kdist.api.errors import Cause, InternalError
from kdist.api.meta import Obj
from kdist.apiserver.allocators import addresses
from kdist.apiserver.allocators.claims import Claims, Full, claim_value
from kdist.apiserver.allocators.ranges import AddressRange, PortRange
from kdist.apiserver.registry import services as rules
from kdist.apiserver.registry.serviceaddresses import check_addresses, family_of
from kdist.config.apiserver import ApiServerSettings
from kdist.storage.hub import Hub

_GUESS = 32768  # where the ports that a dry run is told begin
_DUAL = ("PreferDualStack", "RequireDualStack")


async def open_allocator(
    hub: Hub, settings: ApiServerSettings, *, with_objects: bool = False
) -> ServiceAllocator:
    """The allocator of the configured ranges. Raises ValueError for bad ranges, StorageError.

    ``with_objects``: every address gets an IPAddress besides its claim.
    """
    ranges: dict[str, tuple[AddressRange, Claims]] = {}
    for cidr in settings.service_cluster_ip_range:
        found = AddressRange.parse(cidr)
        claims = await Claims.open(hub, "serviceips", found.size, found.reserved, found.member())
        ranges[found.family] = (found, claims)
    ports = PortRange.parse(settings.service_node_port_range)
    claims = await Claims.open(hub, "servicenodeports", ports.size, ports.reserved, ports.member())
    return ServiceAllocator(hub, ranges, (ports, claims), with_objects=with_objects)


class ServiceAllocator:
    """See :class:`kdist.apiserver.participants.Companions`. The first address family is the default one."""

    def __init__(
        self,
        hub: Hub,
        ranges: dict[str, tuple[AddressRange, Claims]],
        ports: tuple[PortRange, Claims],
        *,
        with_objects: bool = False,
    ) -> None:
        self._hub = hub
        self._addresses = ranges
        self._with_objects = with_objects
        #: The ranges of each family, that of the settings first.
        self._ranges = {family: [pair] for family, pair in ranges.items()}
        self._ports, self._port_claims = ports

    @property
    def default_range(self) -> AddressRange:
        """The range of the Service ``kubernetes``."""
        return next(iter(self._addresses.values()))[0]

    def use(self, further: Iterable[AddressRange]) -> None:
        """Give out addresses of these ranges too, once those of the settings are full; forget earlier ones."""
        ranges = {family: [pair] for family, pair in self._addresses.items()}
        for found in further:
            if found.family in ranges:
                claims = ranges[found.family][0][1].over(found.size, found.reserved, found.member())
                ranges[found.family].append((found, claims))
        self._ranges = ranges

    async def allocate(self, new: Obj, old: Obj | None, *, dry_run: bool = False) -> Mapping[str, bytes]:
        """Pick what the Service lacks and check what it asks for. Raises Invalid, InternalError, StorageError.

        A dry run gets an address, and ports that nobody means to give: upstream's are guesses, too, and no port
        that it asks for is refused for being out of the range.
        """
        if rules.cluster_ips(new) or rules.node_ports(new):
            await self._hub.fresh()  # what was given back just now can be asked for
        if wrong := list(check_addresses(new["spec"])):
            raise errors.invalid("", "Service", meta.name(new), wrong)
        self._settle_families(new)
        keys = [*self._allocate_addresses(new, old), *self._allocate_ports(new, old, dry_run=dry_run)]
        claimed = dict.fromkeys(keys, claim_value(new))
        if self._with_objects:
            for address in rules.cluster_ips(new):
                if self._claim_key(address) in claimed:
                    claimed[addresses.key(address)] = addresses.value(address, new)
        return claimed

    def released(self, new: Obj | None, old: Obj) -> list[str]:
        """The claims that go."""
        kept = self._keys(new) if new is not None else set()
        return sorted(self._keys(old) - kept)

    def taken(self, key: str) -> None:
        """Another server was faster, or somebody made the address' object."""
        if key.startswith(addresses.PREFIX):
            key = self._claim_key(key.removeprefix(addresses.PREFIX)) or key
        for claims in self._all_claims():
            if claims.owns(key):
                claims.refuse(key)

    def _all_claims(self) -> list[Claims]:
        return [claims for _, claims in self._addresses.values()] + [self._port_claims]

    def _keys(self, service: Obj) -> set[str]:
        keys = {self._port_claims.key(str(port)) for port in rules.node_ports(service)}
        for address in rules.cluster_ips(service):
            if claim := self._claim_key(address):
                keys.add(claim)
                if self._with_objects:
                    keys.add(addresses.key(address))
        return keys

    def _claim_key(self, address: str) -> str | None:
        """The claim of an address; None for one of a family that the server does not have."""
        pair = self._addresses.get(f"IPv{ipaddress.ip_address(address).version}")
        return pair[1].key(address) if pair else None

    def _all_ranges(self) -> Iterator[tuple[AddressRange, Claims]]:
        for ranges in self._ranges.values():
            yield from ranges

    # ----- addresses

    def _settle_families(self, service: Obj) -> None:
        """The policy, and the families that it allows of those the server has."""
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            return
        unselected = rules.is_headless(service) and not spec.get("selector")
        policy = spec.setdefault("ipFamilyPolicy", "RequireDualStack" if unselected else "SingleStack")
        families = self._named_families(service, policy)
        if unselected:
            spec["ipFamilies"] = families or list(self._addresses)[:1]
            if policy in _DUAL and len(spec["ipFamilies"]) < 2:
                spec["ipFamilies"].append("IPv6" if spec["ipFamilies"] == ["IPv4"] else "IPv4")
            return
        if policy == "RequireDualStack" and len(self._addresses) < 2:
            told = "this cluster is not configured for dual-stack services"
            raise _invalid(service, "spec.ipFamilyPolicy", policy, told)
        for at, family in enumerate(families):
            if family not in self._addresses:
                raise _invalid(service, f"spec.ipFamilies[{at}]", family, "not configured on this cluster")
        families = families or list(self._addresses)[:1]
        if policy in _DUAL:
            families += [family for family in self._addresses if family not in families]
        spec["ipFamilies"] = families

    def _named_families(self, service: Obj, policy: str) -> list[str]:
        """The families that the Service names, by their names or by addresses."""
        spec = service["spec"]
        families, addresses = list(spec.get("ipFamilies") or ()), spec.get("clusterIPs") or []
        for values, what in ((addresses, "cluster IPs"), (families, "IP families")):
            if policy == "SingleStack" and len(values) == 2:
                told = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                raise _invalid(service, "spec.ipFamilyPolicy", policy, told)
        if rules.is_headless(service):
            return families
        for at, address in list(enumerate(addresses))[len(families) :]:
            family = family_of(address)
            if family not in self._addresses:
                told = f"{family} is not configured on this cluster"
                raise _invalid(service, f"spec.clusterIPs[{at}]", addresses, told)
            families.append(family)
        return families

    def _allocate_addresses(self, new: Obj, old: Obj | None) -> list[str]:
        spec = new["spec"]
        if spec.get("type") == "ExternalName":
            return []
        if rules.is_headless(new):
            spec["clusterIPs"] = [rules.HEADLESS]
            return []
        held = set(rules.cluster_ips(old)) if old is not None else set()
        chosen = rules.cluster_ips(new)
        wanted = [self._asked(new, address) for address in chosen if address not in held]
        for family in spec["ipFamilies"][len(chosen) :]:
            address, key = self._picked(family)
            chosen.append(address)
            wanted.append(key)
        spec["clusterIP"], spec["clusterIPs"] = chosen[0], chosen[: len(spec["ipFamilies"])]
        return wanted

    def _asked(self, service: Obj, address: str) -> str:
        for found, claims in self._all_ranges():
            if not found.contains(address):
                continue
            if claims.taken(address):
                told = f"failed to allocate IP {address}: provided IP is already allocated"
                raise _invalid(service, "spec.clusterIPs", [address], told)
            return claims.key(address)
        ranges = ", ".join(str(found.network) for found, _ in self._all_ranges())
        told = f"failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. "
        told += f"The range of valid IPs is {ranges}"
        raise _invalid(service, "spec.clusterIPs", [address], told)

    def _picked(self, family: str) -> tuple[str, str]:
        for _, claims in self._ranges[family]:
            with contextlib.suppress(Full):
                address = claims.pick(set())
                return address, claims.key(address)
        raise InternalError("failed to allocate a serviceIP: range is full")

    # ----- ports

    def _allocate_ports(self, new: Obj, old: Obj | None, *, dry_run: bool) -> list[str]:
        held = rules.node_ports(old) if old is not None else set()
        if old is None and rules.on_nodes(new["spec"].get("type")):
            self._check_twice(new)
        wanted = {port for port in rules.node_ports(new) if port not in held}
        for port in sorted(wanted):
            self._check_port(new, port, anywhere=dry_run)
        chosen = rules.node_ports_of(new["spec"])
        shared = {p["port"]: p["nodePort"] for p in new["spec"].get("ports") or () if p.get("nodePort")}
        for row in rules.needs_node_ports(new):
            # TCP and UDP of one port number share their node port, as DNS wants it
            row["nodePort"] = shared.get(row["port"]) or self._pick_port(chosen, dry_run=dry_run)
            shared[row["port"]] = row["nodePort"]
        chosen |= rules.node_ports(new)
        if rules.needs_health_check_port(new):
            new["spec"]["healthCheckNodePort"] = self._pick_port(chosen, dry_run=dry_run)
        return [self._port_claims.key(str(p)) for p in sorted(rules.node_ports(new) - held)]

    def _check_twice(self, service: Obj) -> None:
        """Refuse a node port that two different ports ask for."""
        seen: dict[int, int] = {}
        for at, port in enumerate(service["spec"].get("ports") or ()):
            number = port.get("nodePort")
            if number and seen.setdefault(number, port.get("port")) != port.get("port"):
                told = "provided port is already allocated"
                raise _invalid(service, f"spec.ports[{at}].nodePort", number, told)

    def _check_port(self, service: Obj, port: int, *, anywhere: bool) -> None:
        told = ""
        if self._port_claims.taken(str(port)):
            told = "provided port is already allocated"
        elif not anywhere and not self._ports.contains(port):
            told = "provided port is not in the valid range. "
            told += f"The range of valid ports is {self._ports.low}-{self._ports.high}"
        if told:
            ports = service["spec"].get("ports") or ()
            at = next((i for i, p in enumerate(ports) if p.get("nodePort") == port), 0)
            raise _invalid(service, f"spec.ports[{at}].nodePort", port, told)

    def _pick_port(self, chosen: set[int], *, dry_run: bool) -> int:
        if dry_run:
            number = max({0, *chosen} if chosen else {_GUESS}) + 1
        else:
            try:
                number = int(self._port_claims.pick({str(port) for port in chosen}))
            except Full:
                raise InternalError("failed to allocate a nodePort: range is full") from None
        chosen.add(number)
        return number


def _invalid(service: Obj, field: str, value: object, told: str) -> errors.Invalid:
    shown = f'"{value}"' if isinstance(value, str) else str(value).replace("'", '"')
    cause = Cause(field, f"Invalid value: {shown}: {told}")
    return errors.invalid("", "Service", meta.name(service), [cause])
