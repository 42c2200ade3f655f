"""Endpoints and EndpointSlices."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import oddaddresses
from kdist.apiserver.registry.addresses import special_address
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.podcheck import ip_address
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import needed, ruled, word
from kdist.apiserver.validation.metadata import validate_labels

_TYPES = ("FQDN", "IPv4", "IPv6")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_MAX_ENDPOINTS = 1000
_MAX_ADDRESSES = 100
_MAX_PORTS = 20000
_MAX_ZONES = 8
_MAX_TOPOLOGY = 16


def _port(port: Obj, where: str) -> Iterator[Cause]:
    if name := port.get("name"):
        yield from ruled(f"{where}.name", name, names.dns_label)
    yield from word(f"{where}.protocol", port.get("protocol"), _PROTOCOLS)
    if (protocol := port.get("appProtocol")) is not None:
        yield from ruled(f"{where}.appProtocol", protocol, names.qualified_name)


class EndpointsStrategy(Strategy):
    """Endpoints."""

    allow_create_on_update = True
    checks_required = False

    def default(self, obj: Obj) -> None:
        """TCP unless told otherwise."""
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                fill(port, protocol="TCP")

    def check(self, obj: Obj) -> list[Cause]:
        """Addresses and ports of every subset."""
        found: list[Cause] = []
        for at, subset in enumerate(obj.get("subsets") or ()):
            found += _subset(subset, f"subsets[{at}]")
        return found

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """Addresses that are hard to read, from 1.33 on."""
        newer = self.features.reached("1.33")
        return oddaddresses.of_addresses(_addresses(obj), self.features) if newer else []


def _addresses(obj: Obj) -> Iterator[tuple[str, str]]:
    """Every address of Endpoints with its place."""
    for at, subset in enumerate(obj.get("subsets") or ()):
        for kind in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(kind) or ()):
                yield f"subsets[{at}].{kind}[{number}].ip", address.get("ip") or ""


def _subset(subset: Obj, where: str) -> Iterator[Cause]:
    if not subset.get("addresses") and not subset.get("notReadyAddresses"):
        yield causes.required(where, "must specify `addresses` or `notReadyAddresses`")
    for kind in ("addresses", "notReadyAddresses"):
        for at, address in enumerate(subset.get(kind) or ()):
            yield from _address(address, f"{where}.{kind}[{at}]")
    ports = subset.get("ports") or []
    for at, port in enumerate(ports):
        field, number = f"{where}.ports[{at}]", port.get("port", 0)
        if len(ports) > 1:
            yield from needed(port, field, "name")
        yield from (causes.invalid(f"{field}.port", number, c) for c in names.port_number(number))
        yield from _port(port, field)


def _address(address: Obj, where: str) -> Iterator[Cause]:
    ip = address.get("ip") or ""
    yield from ip_address(ip, f"{where}.ip")
    if hostname := address.get("hostname"):
        yield from ruled(f"{where}.hostname", hostname, names.dns_label)
    if (node := address.get("nodeName")) is not None:
        yield from ruled(f"{where}.nodeName", node, names.dns_subdomain)
    yield from special_address(ip, f"{where}.ip")


class EndpointSliceStrategy(Strategy):
    """EndpointSlices."""

    checks_required = False
    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Ports are TCP and have a name, if only the empty one."""
        for port in obj.get("ports") or ():
            fill(port, name="", protocol="TCP")

    def prepare_create(self, obj: Obj) -> None:
        """Topology has had fields of its own since v1."""
        super().prepare_create(obj)
        _drop_topology(obj)

    def prepare_update(self, new: Obj, old: Obj) -> None:
        """The same of endpoints that changed; new labels are a change, too."""
        super().prepare_update(new, old)
        if meta.labels(new) != meta.labels(old) and _content(new) == _content(old):
            new["metadata"]["generation"] = new["metadata"].get("generation", 0) + 1
        if (new.get("endpoints") or []) != (old.get("endpoints") or []):
            _drop_topology(new)

    def count_generation(self, new: Obj, old: Obj) -> None:
        """No endpoints and an empty list of them are the same."""
        if not new.get("endpoints") and not old.get("endpoints"):
            new, kept = {**new, "endpoints": old.get("endpoints")}, new
            super().count_generation(new, old)
            kept["metadata"] = new["metadata"]
            return
        super().count_generation(new, old)

    def check(self, obj: Obj) -> list[Cause]:
        """Address type, addresses, ports."""
        kind, endpoints, ports = (
            obj.get("addressType") or "",
            obj.get("endpoints") or [],
            obj.get("ports") or [],
        )
        found = word("addressType", kind, _TYPES) if kind else [causes.required("addressType")]
        if len(endpoints) > _MAX_ENDPOINTS:
            return [*found, causes.too_many("endpoints", len(endpoints), _MAX_ENDPOINTS)]
        for at, endpoint in enumerate(endpoints):
            found += _endpoint(endpoint, f"endpoints[{at}]", kind)
        if len(ports) > _MAX_PORTS:
            return [*found, causes.too_many("ports", len(ports), _MAX_PORTS)]
        seen: set[str] = set()
        for at, port in enumerate(ports):
            found += _port(port, f"ports[{at}]")
            if (name := port.get("name") or "") in seen:
                found.append(causes.duplicate(f"ports[{at}].name", name))
            seen.add(name)
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The address type stays."""
        kind, had = (o.get("addressType") or "" for o in (new, old))
        return causes.immutable("addressType", kind, had)

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """Names are on their way out; addresses that are hard to read are told of from 1.33 on."""
        if obj.get("addressType") == "FQDN":
            return ["spec.addressType: FQDN endpoints are deprecated"] if old is None else []
        if not self.features.reached("1.33"):
            return []
        named = (
            (f"endpoints[{at}].addresses[{number}]", address)
            for at, endpoint in enumerate(obj.get("endpoints") or ())
            for number, address in enumerate(endpoint.get("addresses") or ())
        )
        return oddaddresses.of_addresses(named, self.features)


def _content(endpoint_slice: Obj) -> Obj:
    content = {k: v for k, v in endpoint_slice.items() if k not in ("apiVersion", "kind", "metadata")}
    return {k: v for k, v in content.items() if v}


def _drop_topology(endpoint_slice: Obj) -> None:
    for endpoint in endpoint_slice.get("endpoints") or ():
        endpoint.pop("deprecatedTopology", None)


def _endpoint(endpoint: Obj, where: str, kind: str) -> Iterator[Cause]:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        yield causes.required(f"{where}.addresses", "must contain at least 1 address")
    elif len(addresses) > _MAX_ADDRESSES:
        yield causes.too_many(f"{where}.addresses", len(addresses), _MAX_ADDRESSES)
    for at, address in enumerate(addresses):
        field = f"{where}.addresses[{at}]"
        if kind == "FQDN":
            yield from _domain(address, field)
        elif kind in ("IPv4", "IPv6"):
            if not _is_of(address, kind):
                yield causes.invalid(field, address, f"must be a valid {kind} address")
            yield from special_address(address, field)
    for name, rule in (("nodeName", names.dns_subdomain), ("hostname", names.dns_label)):
        if (text := endpoint.get(name)) is not None:
            yield from ruled(f"{where}.{name}", text, rule)
    topology = endpoint.get("deprecatedTopology") or {}
    if len(topology) > _MAX_TOPOLOGY:
        yield causes.too_many(f"{where}.deprecatedTopology", len(topology), _MAX_TOPOLOGY)
    yield from validate_labels(topology, f"{where}.deprecatedTopology")
    yield from _hints(meta.get(endpoint, "hints.forZones", []), f"{where}.hints.forZones")


def _is_of(address: str, kind: str) -> bool:
    try:
        return f"IPv{ipaddress.ip_address(address).version}" == kind
    except ValueError:
        return False


def _domain(name: str, field: str) -> Iterator[Cause]:
    if not name:
        yield causes.required(field)
    elif complaints := names.dns_subdomain(name.removesuffix(".")):
        yield causes.invalid(field, name.removesuffix("."), ",".join(complaints))
    elif "." not in name.removesuffix("."):
        told = "should be a domain with at least two segments separated by dots"
        yield causes.invalid(field, name.removesuffix("."), told)


def _hints(zones: list[Obj], where: str) -> Iterator[Cause]:
    if len(zones) > _MAX_ZONES:
        yield causes.too_many(where, len(zones), _MAX_ZONES)
        return
    seen: set[str] = set()
    for at, zone in enumerate(zones):
        field, name = f"{where}[{at}].name", zone.get("name") or ""
        if name in seen:
            yield causes.duplicate(field, name)
        seen.add(name)
        yield from ruled(field, name, names.label_value)
