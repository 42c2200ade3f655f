"""What is wrong with a Service, with a change of one, and with what a load balancer answered."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.addresses import check_cidr, special_address
from kdist.apiserver.registry.podcheck import ip_address
from kdist.apiserver.registry.podprobes import port_reference
from kdist.apiserver.registry.serviceaddresses import check_address_update, check_addresses
from kdist.apiserver.registry.servicetypes import TYPES, is_exposed, is_headless, needs_health_check
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import ruled, word
from kdist.apiserver.validation.metadata import validate_labels

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_POLICIES = ("Cluster", "Local")
_AGENT_PORT = 10250
_DAY = 86400
_BALANCER_ONLY = "may only be used when `type` is 'LoadBalancer'"
_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"


def check(obj: Obj) -> list[Cause]:
    """Causes for a Service besides its metadata."""
    spec = obj.get("spec") or {}
    if wrong := list(check_addresses(spec)):  # nothing can be allocated: that is all that is told
        return wrong
    found = list(_kind(spec)) + list(_ports(spec))
    found += validate_labels(spec.get("selector"), "spec.selector")
    found += _affinity(spec)
    for at, address in enumerate(spec.get("externalIPs") or ()):
        field = f"spec.externalIPs[{at}]"
        found += ip_address(address, field) or special_address(address, field)
    return [*found, *_balancer_fields(obj), *_traffic(spec)]


def _kind(spec: Obj) -> Iterator[Cause]:
    kind, ports = spec.get("type"), spec.get("ports") or []
    yield from word("spec.type", kind, TYPES)
    headless = is_headless({"spec": spec})
    if not ports and kind != "ExternalName" and not headless:
        yield causes.required("spec.ports")
    if kind == "ExternalName":
        yield from _external_name(spec)
    elif headless and kind in ("NodePort", "LoadBalancer"):
        told = f"may not be set to 'None' for {kind} services"
        yield causes.invalid("spec.clusterIPs[0]", "None", told)
    if kind == "LoadBalancer":
        for at, port in enumerate(ports):
            if port.get("port") == _AGENT_PORT:
                told = f"may not expose port {_AGENT_PORT} externally since it is used by kubelet"
                yield causes.invalid(f"spec.ports[{at}]", _AGENT_PORT, told)


def _external_name(spec: Obj) -> Iterator[Cause]:
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            yield causes.forbidden(f"spec.{field}", "may not be set for ExternalName services")
    name = (spec.get("externalName") or "").removesuffix(".")
    if name:
        yield from ruled("spec.externalName", name, names.dns_subdomain)
    else:
        yield causes.required("spec.externalName")


def _ports(spec: Obj) -> Iterator[Cause]:
    ports = spec.get("ports") or []
    seen: set[str] = set()
    keys: set[tuple[str, int]] = set()
    on_nodes: set[tuple[str, int]] = set()
    for at, port in enumerate(ports):
        where = f"spec.ports[{at}]"
        yield from _port(port, where, seen, named=len(ports) > 1)
        protocol, number, node_port = port.get("protocol", ""), port.get("port", 0), port.get("nodePort") or 0
        if node_port and spec.get("type") == "ClusterIP":
            yield causes.forbidden(f"{where}.nodePort", "may not be used when `type` is 'ClusterIP'")
        if node_port and (protocol, node_port) in on_nodes:
            yield causes.duplicate(f"{where}.nodePort", node_port)
        if (protocol, number) in keys:
            yield causes.duplicate(where, {"protocol": protocol, "port": number})
        keys.add((protocol, number))
        on_nodes.add((protocol, node_port))


def _port(port: Obj, where: str, seen: set[str], *, named: bool) -> Iterator[Cause]:
    name = port.get("name") or ""
    if name:
        yield from ruled(f"{where}.name", name, names.dns_label)
        if name in seen:
            yield causes.duplicate(f"{where}.name", name)
        seen.add(name)
    elif named:
        yield causes.required(f"{where}.name")
    number = port.get("port", 0)
    yield from (causes.invalid(f"{where}.port", number, c) for c in names.port_number(number))
    yield from word(f"{where}.protocol", port.get("protocol"), _PROTOCOLS)
    yield from port_reference(port.get("targetPort", 0), f"{where}.targetPort")
    if (protocol := port.get("appProtocol")) is not None:
        yield from ruled(f"{where}.appProtocol", protocol, names.qualified_name)


def _affinity(spec: Obj) -> Iterator[Cause]:
    yield from word("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    seconds = meta.get(spec, "sessionAffinityConfig.clientIP.timeoutSeconds")
    if spec.get("sessionAffinity") == "ClientIP" and seconds is not None and not 0 < seconds <= _DAY:
        field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        yield causes.invalid(field, seconds, f"must be greater than 0 and less than {_DAY}")


def _balancer_fields(obj: Obj) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    balanced = spec.get("type") == "LoadBalancer"
    ranges, field = spec.get("loadBalancerSourceRanges") or [], "spec.LoadBalancerSourceRanges"
    annotated = meta.annotations(obj).get(_RANGES)
    if not ranges and annotated is not None:
        field = f"metadata.annotations[{_RANGES}]"
        ranges = [text for text in annotated.strip().split(",") if annotated.strip()]
    if not balanced and (ranges or annotated is not None):
        yield causes.forbidden(field, _BALANCER_ONLY)
    for at, text in enumerate(ranges):
        yield from check_cidr(f"{field}[{at}]" if annotated is None else field, text.strip())
    if not balanced and spec.get("allocateLoadBalancerNodePorts") is not None:
        yield causes.forbidden("spec.allocateLoadBalancerNodePorts", _BALANCER_ONLY)
    if (kind := spec.get("loadBalancerClass")) is not None:
        if balanced:
            yield from ruled("spec.loadBalancerClass", kind, names.qualified_name)
        else:
            yield causes.forbidden("spec.loadBalancerClass", _BALANCER_ONLY)


def _traffic(spec: Obj) -> Iterator[Cause]:
    policy, field = spec.get("externalTrafficPolicy"), "spec.externalTrafficPolicy"
    if is_exposed(spec):
        yield from word(field, policy, _POLICIES)
    elif policy:
        yield causes.invalid(field, policy, "may only be set for externally-accessible services")
    port, field = spec.get("healthCheckNodePort") or 0, "spec.healthCheckNodePort"
    if port and not needs_health_check(spec):
        told = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield causes.invalid(field, port, told)
    elif port:
        yield from (causes.invalid(field, port, c) for c in names.port_number(port))
    if (internal := spec.get("internalTrafficPolicy")) is not None:
        yield from word("spec.internalTrafficPolicy", internal, _POLICIES)
    if (distribution := spec.get("trafficDistribution")) is not None:
        yield from word("spec.trafficDistribution", distribution, ("PreferClose",))


def check_update(spec: Obj, before: Obj) -> list[Cause]:
    """Causes for the change of a Service's spec."""
    found = list(check_address_update(spec, before))
    kind = spec.get("loadBalancerClass")
    if spec.get("type") == before.get("type") == "LoadBalancer" and kind != before.get("loadBalancerClass"):
        found.append(causes.invalid("spec.loadBalancerClass", kind, "may not change once set"))
    if needs_health_check(spec) and needs_health_check(before):
        port, had = (s.get("healthCheckNodePort") or 0 for s in (spec, before))
        if had and port != had:
            found.append(causes.forbidden("spec.healthCheckNodePort", causes.IMMUTABLE))
    return found


def check_balancer(service: Obj) -> Iterator[Cause]:
    """Causes for the status of a Service."""
    where = "status.loadBalancer.ingress"
    answered = meta.get(service, where, [])
    if answered and meta.get(service, "spec.type") != "LoadBalancer":
        yield causes.forbidden(where, "may only be used when `spec.type` is 'LoadBalancer'")
        return
    for at, ingress in enumerate(answered):
        yield from _ingress(ingress, f"{where}[{at}]")


def _ingress(ingress: Obj, where: str) -> Iterator[Cause]:
    address, mode, name = ingress.get("ip") or "", ingress.get("ipMode"), ingress.get("hostname") or ""
    if address:
        yield from ip_address(address, f"{where}.ip")
    if mode is None and address:
        yield causes.required(f"{where}.ipMode", "must be specified when `ip` is set")
    elif mode is not None and not address:
        yield causes.forbidden(f"{where}.ipMode", "may not be specified when `ip` is not set")
    elif mode is not None:
        yield from word(f"{where}.ipMode", mode, ("Proxy", "VIP"))
    if name:
        yield from ruled(f"{where}.hostname", name, names.dns_subdomain)
        if _is_address(name):
            yield causes.invalid(f"{where}.hostname", name, "must be a DNS name, not an IP address")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
