"""Reading a Service: which addresses it answers on, and by which policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kdist.api import meta
from kdist.proxy.family import Family

# What a Service may hold at most by validation; also the default of ClientIP affinity: three hours.
DEFAULT_AFFINITY_SECONDS = 10800


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service; ``name`` is what EndpointSlice ports are matched by."""

    name: str
    protocol: str
    port: int
    node_port: int


@dataclass(frozen=True, slots=True)
class Service:
    """What the proxy needs of a Service, in one address family."""

    key: str
    ports: tuple[ServicePort, ...]
    cluster_ips: tuple[str, ...]
    external_ips: tuple[str, ...]
    ingress_ips: tuple[str, ...]
    internal_local: bool
    external_local: bool
    affinity_seconds: int | None
    source_ranges: tuple[str, ...]
    health_check_port: int


def read(obj: dict[str, Any], family: Family) -> Service | None:
    """The Service in ``family``; None when the proxy has nothing to do for it (headless, ExternalName)."""
    spec = obj.get("spec") or {}
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") in (None, "", "None"):
        return None
    own = [ip for ip in spec.get("clusterIPs") or [spec["clusterIP"]] if family.owns(ip)]
    if not own:
        return None
    affinity = spec.get("sessionAffinity") == "ClientIP"
    seconds = meta.get(spec, "sessionAffinityConfig.clientIP.timeoutSeconds", DEFAULT_AFFINITY_SECONDS)
    external_local = spec.get("externalTrafficPolicy") == "Local"
    balanced = spec.get("type") == "LoadBalancer"
    return Service(
        key=meta.key(obj),
        ports=tuple(_port(p) for p in spec.get("ports") or ()),
        cluster_ips=tuple(own),
        external_ips=tuple(ip for ip in spec.get("externalIPs") or () if family.owns(ip)),
        ingress_ips=_ingress(obj, family) if balanced else (),
        internal_local=spec.get("internalTrafficPolicy") == "Local",
        external_local=external_local,
        affinity_seconds=seconds if affinity else None,
        source_ranges=_source_ranges(spec, family) if balanced else (),
        health_check_port=spec.get("healthCheckNodePort") or 0 if balanced and external_local else 0,
    )


def _port(port: dict[str, Any]) -> ServicePort:
    return ServicePort(
        name=port.get("name") or "",
        protocol=(port.get("protocol") or "TCP").lower(),
        port=port["port"],
        node_port=port.get("nodePort") or 0,
    )


def _ingress(obj: dict[str, Any], family: Family) -> tuple[str, ...]:
    """Load balancer addresses whose packets arrive here unchanged (ipMode Proxy ones do not)."""
    entries = meta.get(obj, "status.loadBalancer.ingress", ())
    ips = (e["ip"] for e in entries if e.get("ip") and e.get("ipMode", "VIP") == "VIP")
    return tuple(ip for ip in ips if family.owns(ip))


def _source_ranges(spec: dict[str, Any], family: Family) -> tuple[str, ...]:
    ranges = (text.strip() for text in spec.get("loadBalancerSourceRanges") or ())
    return tuple(sorted({text for text in ranges if family.owns(text)}))
