"""Endpoints and EndpointSlices."""

from __future__ import annotations

import ipaddress
from typing import Any

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.podcheck import ip_address
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.validation import causes, names

_TYPES = ("FQDN", "IPv4", "IPv6")
_MAX_ENDPOINTS = 1000
_MAX_ADDRESSES = 100


def _banned(text: str, field: str) -> list[Cause]:
    """Addresses that would let one tenant reach what belongs to the node."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ip_address(text, field)
    told = {
        "is_unspecified": "may not be unspecified (0.0.0.0 or ::)",
        "is_loopback": "may not be in the loopback range (127.0.0.0/8, ::1/128)",
        "is_link_local": "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
        "is_multicast": "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
    }
    return [causes.invalid(field, text, reason) for test, reason in told.items() if getattr(address, test)]


def _port(port: Obj, where: str) -> list[Cause]:
    found: list[Cause] = []
    number: Any = port.get("port")
    if number is not None:
        found += [causes.invalid(f"{where}.port", number, c) for c in names.port_number(number)]
    if name := port.get("name"):
        found += [causes.invalid(f"{where}.name", name, c) for c in names.dns_label(name)]
    if port.get("protocol") not in ("TCP", "UDP", "SCTP"):
        found.append(causes.not_supported(f"{where}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP")))
    return found


class EndpointsStrategy(Strategy):
    """Endpoints."""

    allow_create_on_update = True

    def default(self, obj: Obj) -> None:
        """TCP unless told otherwise."""
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                fill(port, protocol="TCP")

    def check(self, obj: Obj) -> list[Cause]:
        """Addresses and ports of every subset."""
        found: list[Cause] = []
        for at, subset in enumerate(obj.get("subsets") or ()):
            where = f"subsets[{at}]"
            if not subset.get("addresses") and not subset.get("notReadyAddresses"):
                found.append(causes.required(where, "must specify `addresses` or `notReadyAddresses`"))
            for kind in ("addresses", "notReadyAddresses"):
                for index, address in enumerate(subset.get(kind) or ()):
                    found += _banned(address.get("ip", ""), f"{where}.{kind}[{index}].ip")
            for index, port in enumerate(subset.get("ports") or ()):
                found += _port(port, f"{where}.ports[{index}]")
        return found


class EndpointSliceStrategy(Strategy):
    """EndpointSlices."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Ports are TCP and have a name, if only the empty one."""
        for port in obj.get("ports") or ():
            fill(port, name="", protocol="TCP")

    def check(self, obj: Obj) -> list[Cause]:
        """Address type, addresses, ports."""
        kind = obj.get("addressType")
        found: list[Cause] = []
        if kind and kind not in _TYPES:
            found.append(causes.not_supported("addressType", kind, _TYPES))
        endpoints = obj.get("endpoints") or []
        if len(endpoints) > _MAX_ENDPOINTS:
            found.append(causes.too_many("endpoints", len(endpoints), _MAX_ENDPOINTS))
        for at, endpoint in enumerate(endpoints):
            found += _endpoint(endpoint, f"endpoints[{at}]", kind)
        seen: set[str] = set()
        for at, port in enumerate(obj.get("ports") or ()):
            found += _port(port, f"ports[{at}]")
            if port.get("name", "") in seen:
                found.append(causes.duplicate(f"ports[{at}].name", port.get("name", "")))
            seen.add(port.get("name", ""))
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The address type stays."""
        return causes.immutable("addressType", new.get("addressType"), old.get("addressType"))


def _endpoint(endpoint: Obj, where: str, kind: str | None) -> list[Cause]:
    addresses = endpoint.get("addresses") or []
    found: list[Cause] = []
    if not addresses:
        found.append(causes.required(f"{where}.addresses", "must contain at least 1 address"))
    if len(addresses) > _MAX_ADDRESSES:
        found.append(causes.too_many(f"{where}.addresses", len(addresses), _MAX_ADDRESSES))
    for at, address in enumerate(addresses):
        field = f"{where}.addresses[{at}]"
        if kind == "FQDN":
            found += [causes.invalid(field, address, c) for c in names.dns_subdomain(address)]
        else:
            found += _banned(address, field)
            if kind in ("IPv4", "IPv6") and (":" in address) is (kind == "IPv4"):
                found.append(causes.invalid(field, address, f"must be an {kind} address"))
    return found
