"""ServiceCIDRs and IPAddresses: where Services get their addresses, and which are taken by whom."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.validation import causes, names

_MOST = 2
_TWICE = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"


def ip_address_name(text: str) -> list[str]:
    """What is wrong with the name of an IPAddress: it has to be the address in its canonical form."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return [f'ParseAddr("{text}"): unable to parse IP']
    return [] if str(address) == text else ["must be a canonical format IP address"]


class IPAddressStrategy(Strategy):
    """IPAddresses: what refers to the address is for life."""

    name_rule = staticmethod(ip_address_name)

    def check(self, obj: Obj) -> list[Cause]:
        """Something has the address."""
        parent = (obj.get("spec") or {}).get("parentRef")
        if parent is None:
            return [causes.required("spec.parentRef")]
        return list(_parent(parent, "spec.parentRef"))

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The reference cannot change."""
        have, had = ((o.get("spec") or {}).get("parentRef") for o in (new, old))
        return causes.immutable("spec.parentRef", have, had)


def _parent(parent: Obj, field: str) -> Iterator[Cause]:
    if group := parent.get("group"):
        yield from (causes.invalid(f"{field}.group", group, c) for c in names.dns_subdomain(group))
    for key in ("resource", "name"):
        if not parent.get(key):
            yield causes.required(f"{field}.{key}")
    for key in ("resource", "name", "namespace"):
        if value := parent.get(key):
            yield from (causes.invalid(f"{field}.{key}", value, c) for c in names.path_segment(value))


class ServiceCIDRStrategy(Strategy):
    """ServiceCIDRs: one network, or one of each family."""

    def check(self, obj: Obj) -> list[Cause]:
        """The networks are well formed."""
        spec = obj.get("spec") or {}
        cidrs, field = spec.get("cidrs") or [], "spec.cidrs"
        if not cidrs:
            return [causes.required(field, "at least one CIDR required")]
        if len(cidrs) > _MOST:
            return [causes.invalid(field, spec, "may only hold up to 2 values")]
        if len(cidrs) == _MOST and len({":" in cidr for cidr in cidrs}) < _MOST:
            return [causes.invalid(field, spec, _TWICE)]
        return [c for at, cidr in enumerate(cidrs) for c in _cidr(cidr, f"{field}[{at}]")]

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The networks cannot change."""
        have, had = ((o.get("spec") or {}).get("cidrs") for o in (new, old))
        return causes.immutable("spec.cidrs", have, had)


def _cidr(cidr: str, field: str) -> Iterator[Cause]:
    try:
        if "/" not in cidr:
            raise ValueError("no '/'")
        network = ipaddress.ip_interface(cidr)
    except ValueError:
        told = "no '/'" if "/" not in cidr else "unable to parse it"
        yield causes.invalid(field, cidr, f'netip.ParsePrefix("{cidr}"): {told}')
        return
    if network.ip != network.network.network_address:
        yield causes.invalid(field, cidr, "wrong CIDR format, IP doesn't match network IP address")
    if str(network) != cidr:
        yield causes.invalid(field, cidr, "CIDR not in RFC 5952 canonical format")
