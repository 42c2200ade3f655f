"""Tables of Services, endpoints, ingresses and network policies."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.apiserver.tables.columns import (
    NONE,
    UNSET,
    age,
    joined,
    labels,
    printer,
    selector,
    shortened,
    shown,
)


@printer("Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "+Selector")
def SERVICE(obj: Obj, now: datetime) -> list[Any]:
    """Services."""
    spec = obj.get("spec") or {}
    return [
        meta.name(obj),
        spec.get("type", ""),
        shown(spec.get("clusterIP")),
        _external(obj, spec),
        joined(_port(p) for p in spec.get("ports") or ()),
        age(obj, now),
        labels(spec.get("selector")),
    ]


def _external(obj: Obj, spec: Obj) -> str:
    addresses = list(spec.get("externalIPs") or ())
    match spec.get("type"):
        case "ExternalName":
            return str(spec.get("externalName", ""))
        case "LoadBalancer":
            ingress = meta.get(obj, "status.loadBalancer.ingress", [])
            addresses = [i.get("ip") or i.get("hostname", "") for i in ingress] + addresses
            return ",".join(addresses) or "<pending>"
    return joined(addresses)


def _port(port: Obj) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}"


@printer("Endpoints", "Age")
def ENDPOINTS(obj: Obj, now: datetime) -> list[Any]:
    """Endpoints."""
    found: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses, ports = [a["ip"] for a in subset.get("addresses") or ()], subset.get("ports") or ()
        hosts = [f"[{ip}]" if ":" in ip else ip for ip in addresses]
        found += [f"{host}:{p.get('port')}" for p in ports for host in hosts] if ports else addresses
    return [meta.name(obj), shortened(found), age(obj, now)]


@printer("AddressType", "Ports", "Endpoints", "Age")
def ENDPOINT_SLICE(obj: Obj, now: datetime) -> list[Any]:
    """EndpointSlices."""
    ports = [str(p.get("port", p.get("name", "*"))) for p in obj.get("ports") or ()]
    addresses = [a for e in obj.get("endpoints") or () for a in e.get("addresses") or ()]
    unset = obj.get("ports") is None
    return [
        meta.name(obj),
        obj.get("addressType", ""),
        UNSET if unset else shortened(ports),
        UNSET if not addresses else shortened(addresses),
        age(obj, now),
    ]


@printer("Class", "Hosts", "Address", "Ports", "Age")
def INGRESS(obj: Obj, now: datetime) -> list[Any]:
    """Ingresses."""
    spec = obj.get("spec") or {}
    hosts = [r["host"] for r in spec.get("rules") or () if r.get("host")]
    balancers = [
        i.get("ip") or i.get("hostname", "") for i in meta.get(obj, "status.loadBalancer.ingress", [])
    ]
    return [
        meta.name(obj),
        shown(spec.get("ingressClassName")),
        shortened(hosts) if hosts else "*",
        ",".join(balancers),
        "80, 443" if spec.get("tls") else "80",
        age(obj, now),
    ]


@printer("Controller", "Parameters", "Age")
def INGRESS_CLASS(obj: Obj, now: datetime) -> list[Any]:
    """IngressClasses."""
    parameters = meta.get(obj, "spec.parameters")
    told = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        told = f"{parameters['kind']}{group}/{parameters['name']}"
    return [meta.name(obj), meta.get(obj, "spec.controller", ""), told, age(obj, now)]


@printer("Pod-Selector", "Age")
def NETWORK_POLICY(obj: Obj, now: datetime) -> list[Any]:
    """NetworkPolicies."""
    return [meta.name(obj), selector(meta.get(obj, "spec.podSelector", {})), age(obj, now)]


@printer("CIDRs", "Age")
def SERVICE_CIDR(obj: Obj, now: datetime) -> list[Any]:
    """ServiceCIDRs."""
    return [meta.name(obj), ",".join(meta.get(obj, "spec.cidrs", [])), age(obj, now)]


@printer("ParentRef", "Age")
def IP_ADDRESS(obj: Obj, now: datetime) -> list[Any]:
    """IPAddresses."""
    parent, told = meta.get(obj, "spec.parentRef", None), NONE
    if parent:
        group = f".{parent['group']}" if parent.get("group") else ""
        told = "/".join(
            (f"{parent['resource']}{group}", *filter(None, (parent.get("namespace"),)), parent["name"])
        )
    return [meta.name(obj), told, age(obj, now)]
