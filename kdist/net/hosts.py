"""Reading Nodes: what the pod network needs of each."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from kdist.api import meta
from kdist.api.pods import get_condition


@dataclass(frozen=True, slots=True, order=True)
class Host:
    """A Node with an address and a range of pod addresses of its own (IPv4)."""

    name: str
    address: ipaddress.IPv4Address
    pods: ipaddress.IPv4Network


def read(node: dict[str, Any]) -> Host | None:
    """The Node as a :class:`Host`; None while it has no address or no pod range yet."""
    spec = node.get("spec") or {}
    ranges = [r for r in spec.get("podCIDRs") or [spec.get("podCIDR")] if r and ":" not in r]
    addresses = [
        entry["address"]
        for entry in meta.get(node, "status.addresses", ())
        if entry.get("type") == "InternalIP" and ":" not in entry["address"]
    ]
    if not ranges or not addresses:
        return None
    return Host(meta.name(node), ipaddress.IPv4Address(addresses[0]), ipaddress.IPv4Network(ranges[0]))


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
