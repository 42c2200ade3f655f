"""The records of the Kubernetes DNS specification (version 1.1.0), object by object. Pure.

Names are absolute, with the final dot. Values are what follows ``IN`` in a zone file, such as ``A 10.96.0.1``.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kdist.api import meta

# The weight of every target of a name: equal ones, whatever the number.
_WEIGHT = 100


@dataclass(slots=True)
class Records:
    """What one object contributes: values by name, and names that stand for another name."""

    values: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    aliases: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Endpoint:
    address: str
    hostname: str


def of_zone(domain: str) -> Records:
    """What the zone has by itself."""
    records = Records()
    records.values[f"dns-version.{domain}."].add('TXT "1.1.0"')
    return records


def of_pod(pod: dict[str, Any], domain: str) -> Records:
    """``10-244-1-2.NAMESPACE.pod.DOMAIN`` for each address of a pod."""
    records = Records()
    for entry in meta.get(pod, "status.podIPs", ()):
        if address := entry.get("ip"):
            name = f"{_dashed(address)}.{meta.namespace(pod)}.pod.{domain}."
            records.values[name].add(_address(address))
    return records


def of_service(service: dict[str, Any], slices: Iterable[dict[str, Any]], domain: str) -> Records:
    """Everything that a Service of any type has in DNS."""
    spec, records = service.get("spec") or {}, Records()
    name = f"{meta.name(service)}.{meta.namespace(service)}.svc.{domain}."
    if spec.get("type") == "ExternalName":
        _add_external(records, name, spec.get("externalName") or "")
    elif spec.get("clusterIP") == "None":
        for slice_ in slices:
            _add_slice(records, name, slice_)
    elif spec.get("clusterIP"):
        _add_cluster_ips(records, name, spec)
    return records


def _add_external(records: Records, name: str, target: str) -> None:
    if not target:
        return
    try:
        records.values[name].add(_address(target))
    except ValueError:
        records.aliases[name] = target.lower().rstrip(".") + "."


def _add_cluster_ips(records: Records, name: str, spec: dict[str, Any]) -> None:
    for address in spec.get("clusterIPs") or [spec["clusterIP"]]:
        records.values[name].add(_address(address))
        records.values[_reverse(address)].add(f"PTR {name}")
    for port in spec.get("ports") or ():
        if port.get("name"):
            records.values[_port_name(port, name)].add(f"SRV 0 {_WEIGHT} {port['port']} {name}")


def _add_slice(records: Records, name: str, slice_: dict[str, Any]) -> None:
    if slice_.get("addressType") not in ("IPv4", "IPv6"):
        return
    for endpoint in _ready(slice_):
        own = f"{endpoint.hostname}.{name}"
        records.values[name].add(_address(endpoint.address))
        records.values[own].add(_address(endpoint.address))
        records.values[_reverse(endpoint.address)].add(f"PTR {own}")
        for port in slice_.get("ports") or ():
            if port.get("name") and port.get("port"):
                records.values[_port_name(port, name)].add(f"SRV 0 {_WEIGHT} {port['port']} {own}")


def _ready(slice_: dict[str, Any]) -> Iterator[_Endpoint]:
    for entry in slice_.get("endpoints") or ():
        if (entry.get("conditions") or {}).get("ready") is False:
            continue
        for address in entry.get("addresses") or ():
            yield _Endpoint(address, entry.get("hostname") or _dashed(address))


def _port_name(port: dict[str, Any], name: str) -> str:
    return f"_{port['name']}._{(port.get('protocol') or 'TCP').lower()}.{name}"


def _address(text: str) -> str:
    parsed = ipaddress.ip_address(text)
    return f"{'A' if parsed.version == 4 else 'AAAA'} {parsed}"


def _reverse(address: str) -> str:
    return ipaddress.ip_address(address).reverse_pointer + "."


def _dashed(address: str) -> str:
    return address.replace(".", "-").replace(":", "-")
