"""What the type of a Service means for its other fields."""

from __future__ import annotations

from kdist.api.meta import Obj

HEADLESS = "None"
TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


def is_headless(service: Obj) -> bool:
    """Whether the Service has no virtual IP by choice."""
    return (service.get("spec") or {}).get("clusterIP") == HEADLESS


def on_nodes(kind: str | None) -> bool:
    """Whether Services of the type are reached at ports of nodes."""
    return kind in ("NodePort", "LoadBalancer")


def is_exposed(spec: Obj) -> bool:
    """Whether the Service is reached from outside the cluster."""
    return on_nodes(spec.get("type")) or (spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_check(spec: Obj) -> bool:
    """Whether a load balancer asks every node whether it has endpoints."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"
