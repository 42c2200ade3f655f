"""Reading Nodes: what the pod network needs of each."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kdist.api import meta
from kdist.api.pods import get_condition


@dataclass(frozen=True, slots=True, order=True)
class Host:
    """A Node with an address and a range of pod addresses of its own (IPv4), and those of IPv6 where it has them."""

    name: str
    address: ipaddress.IPv4Address
    pods: ipaddress.IPv4Network
    address6: ipaddress.IPv6Address | None = None
    pods6: ipaddress.IPv6Network | None = None


def read(node: dict[str, Any]) -> Host | None:
    """The Node as a :class:`Host`; None while it has no IPv4 address or pod range yet."""
    spec = node.get("spec") or {}
    range4, range6 = _by_family(r for r in spec.get("podCIDRs") or [spec.get("podCIDR")] if r)
    address4, address6 = _by_family(
        entry["address"]
        for entry in meta.get(node, "status.addresses", ())
        if entry.get("type") == "InternalIP"
    )
    if not range4 or not address4:
        return None
    return Host(
        meta.name(node),
        ipaddress.IPv4Address(address4),
        ipaddress.IPv4Network(range4),
        ipaddress.IPv6Address(address6) if address6 else None,
        ipaddress.IPv6Network(range6) if range6 else None,
    )


def _by_family(texts: Iterable[str]) -> tuple[str, str]:
    """The first of IPv4 and the first of IPv6; empty where there is none."""
    found = {":" in text: text for text in reversed(list(texts))}
    return found.get(False, ""), found.get(True, "")


def says_network_unavailable(node: dict[str, Any]) -> bool:
    """Whether somebody declared the Node unusable until its routes are there."""
    condition = get_condition(node, "NetworkUnavailable")
    return condition is not None and condition.get("status") != "False"


def slim(node: dict[str, Any]) -> dict[str, Any]:
    """A Node without what is never read here (images, capacity, managedFields)."""
    metadata, status = node["metadata"], node.get("status") or {}
    kept = ("name", "uid", "resourceVersion")
    return {
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {k: v for k, v in (node.get("spec") or {}).items() if k in ("podCIDR", "podCIDRs")},
        "status": {
            "addresses": status.get("addresses") or [],
            "conditions": [c for c in status.get("conditions") or () if c["type"] == "NetworkUnavailable"],
        },
    }
