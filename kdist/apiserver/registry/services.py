"""Services: defaults, what may change, and which addresses and ports a Service asks for.

Allocating cluster IPs and node ports is the server's work; :func:`cluster_ips` and :func:`node_ports` tell it
what an object holds, :func:`needs_cluster_ip` and :func:`needs_node_ports` what it still lacks.
"""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.podcheck import ip_address, port_reference
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.metadata import validate_labels

HEADLESS = "None"
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITY_SECONDS = 10800


def is_headless(service: Obj) -> bool:
    """Whether the Service has no virtual IP by choice."""
    return (service.get("spec") or {}).get("clusterIP") == HEADLESS


def cluster_ips(service: Obj) -> list[str]:
    """The cluster IPs that the Service holds or asks for by name."""
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return []
    found = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return [ip for ip in found if ip and ip != HEADLESS]


def needs_cluster_ip(service: Obj) -> bool:
    """Whether a cluster IP has to be picked for the Service."""
    spec = service.get("spec") or {}
    return spec.get("type") != "ExternalName" and not is_headless(service) and not spec.get("clusterIP")


def node_ports(service: Obj) -> set[int]:
    """The node ports that the Service holds or asks for by number; the health check's among them."""
    spec = service.get("spec") or {}
    found = {p["nodePort"] for p in spec.get("ports") or () if p.get("nodePort")}
    return found | {spec["healthCheckNodePort"]} if spec.get("healthCheckNodePort") else found


def needs_node_ports(service: Obj) -> list[Obj]:
    """The ports of the Service for which node ports have to be picked: the Service's own dicts."""
    spec = service.get("spec") or {}
    kind = spec.get("type")
    if kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
        return []
    return [p for p in spec.get("ports") or () if not p.get("nodePort")] if _on_nodes(kind) else []


def needs_health_check_port(service: Obj) -> bool:
    """Whether the Service wants a health check port and has none."""
    spec = service.get("spec") or {}
    return _wants_health_check(spec) and not spec.get("healthCheckNodePort")


def _on_nodes(kind: str | None) -> bool:
    return kind in ("NodePort", "LoadBalancer")


def _wants_health_check(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


class ServiceStrategy(Strategy):
    """Services."""

    allow_create_on_update = True

    name_rule = staticmethod(names.dns_1035_label)

    def default(self, obj: Obj) -> None:
        """Type, protocols, target ports, traffic policies, address family."""
        spec = obj.setdefault("spec", {})
        fill(spec, sessionAffinity="None", type="ClusterIP")
        if spec["sessionAffinity"] == "ClientIP":
            affinity = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
            fill(affinity, timeoutSeconds=_AFFINITY_SECONDS)
        for port in spec.get("ports") or ():
            fill(port, protocol="TCP")
            if port.get("targetPort") in (None, 0, ""):
                port["targetPort"] = port.get("port", 0)
        if _on_nodes(spec["type"]) or spec.get("externalIPs"):
            fill(spec, externalTrafficPolicy="Cluster")
        if spec["type"] != "ExternalName":
            fill(spec, internalTrafficPolicy="Cluster")
            _default_families(spec)
        if spec["type"] == "LoadBalancer":
            fill(spec, allocateLoadBalancerNodePorts=True)
        _agree(spec)

    def prepare_create(self, obj: Obj) -> None:
        """No load balancer has answered yet."""
        super().prepare_create(obj)
        obj["status"] = {"loadBalancer": {}}
        _drop_unused(obj["spec"])

    def prepare_update(self, new: Obj, old: Obj) -> None:
        """Addresses and ports that the user leaves out stay; those of another type go."""
        super().prepare_update(new, old)
        spec, before = new["spec"], old.get("spec") or {}
        if spec["type"] != "ExternalName" and before.get("type") != "ExternalName":
            for field in ("clusterIP", "clusterIPs"):
                if not spec.get(field) and field in before:
                    spec[field] = before[field]
        if _on_nodes(spec["type"]) and _on_nodes(before.get("type")):
            _keep_node_ports(spec, before)
        if _wants_health_check(spec) and before.get("healthCheckNodePort"):
            fill(spec, healthCheckNodePort=before["healthCheckNodePort"])
        _drop_unused(spec, before)

    def check(self, obj: Obj) -> list[Cause]:
        """Type, ports, addresses, policies."""
        spec = obj.get("spec") or {}
        found = list(_check_type(spec)) + _check_ports(spec)
        found += validate_labels(spec.get("selector"), "spec.selector")
        for field, supported in (
            ("sessionAffinity", ("ClientIP", "None")),
            ("externalTrafficPolicy", ("Cluster", "Local")),
            ("internalTrafficPolicy", ("Cluster", "Local")),
            ("ipFamilyPolicy", ("SingleStack", "PreferDualStack", "RequireDualStack")),
        ):
            value = spec.get(field)
            if value and value not in supported:
                found.append(causes.not_supported(f"spec.{field}", value, supported))
        for at, address in enumerate(spec.get("externalIPs") or ()):
            found += ip_address(address, f"spec.externalIPs[{at}]")
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """A cluster IP stays for life unless the Service was or becomes an ExternalName."""
        spec, before = new.get("spec") or {}, old.get("spec") or {}
        if "ExternalName" in (spec.get("type"), before.get("type")) or not before.get("clusterIP"):
            return []
        found: list[Cause] = []
        if spec.get("clusterIP") != before["clusterIP"]:
            value = spec.get("clusterIP", "")
            found.append(causes.invalid("spec.clusterIPs[0]", [value], "may not change once set"))
        return found

    def fields(self, obj: Obj) -> dict[str, str]:
        """By cluster IP and type, too."""
        spec = obj.get("spec") or {}
        extra = {"spec.clusterIP": spec.get("clusterIP", ""), "spec.type": spec.get("type", "")}
        return {**super().fields(obj), **extra}


def _default_families(spec: Obj) -> None:
    """One stack; a headless Service without selector leaves it to whoever writes its endpoints."""
    if spec.get("clusterIP") == HEADLESS and not spec.get("selector"):
        fill(spec, ipFamilyPolicy="RequireDualStack", ipFamilies=["IPv4", "IPv6"])
        return
    address = next(iter(spec.get("clusterIPs") or [spec.get("clusterIP") or ""]))
    fill(spec, ipFamilyPolicy="SingleStack", ipFamilies=["IPv6" if ":" in address else "IPv4"])


def _agree(spec: Obj) -> None:
    """clusterIP and the first of clusterIPs are the same field."""
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    elif spec.get("clusterIPs") and not spec.get("clusterIP"):
        spec["clusterIP"] = spec["clusterIPs"][0]


def _keep_node_ports(spec: Obj, before: Obj) -> None:
    had = {
        (p.get("protocol"), p.get("port")): p["nodePort"]
        for p in before.get("ports") or ()
        if p.get("nodePort")
    }
    taken = {p["nodePort"] for p in spec.get("ports") or () if p.get("nodePort")}
    for port in spec.get("ports") or ():
        kept = had.get((port.get("protocol"), port.get("port")))
        if kept and kept not in taken:
            fill(port, nodePort=kept)


def _drop_unused(spec: Obj, before: Obj | None = None) -> None:
    """Fields of another type that the change of type leaves behind."""
    changed = before is not None and before.get("type") != spec["type"]
    if spec["type"] == "ExternalName" and changed:
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            spec.pop(field, None)
    if changed and not _on_nodes(spec["type"]):
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)
        if not spec.get("externalIPs"):
            spec.pop("externalTrafficPolicy", None)
    if changed and spec["type"] != "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            spec.pop(field, None)
    if before is not None and not _wants_health_check(spec):
        spec.pop("healthCheckNodePort", None)


def _check_type(spec: Obj) -> Iterator[Cause]:
    kind = spec.get("type")
    if kind not in _TYPES:
        yield causes.not_supported("spec.type", kind or "", _TYPES)
    if kind == "ExternalName":
        if cluster_ips({"spec": {**spec, "type": "ClusterIP"}}) or spec.get("clusterIP") == HEADLESS:
            yield causes.forbidden("spec.clusterIPs", "may not be set when `type` is 'ExternalName'")
        name = (spec.get("externalName") or "").removesuffix(".")
        if not name:
            yield causes.required("spec.externalName")
        else:
            yield from (causes.invalid("spec.externalName", name, c) for c in names.dns_subdomain(name))
    elif is_headless({"spec": spec}) and kind in ("NodePort", "LoadBalancer"):
        told = f"may not be set to 'None' for {kind} services"
        yield causes.invalid("spec.clusterIPs[0]", HEADLESS, told)
    for at, address in enumerate(cluster_ips({"spec": spec})):
        yield from ip_address(address, f"spec.clusterIPs[{at}]")
    if not _on_nodes(kind) and not spec.get("externalIPs") and spec.get("externalTrafficPolicy"):
        told = "may only be set for externally-accessible services"
        yield causes.invalid("spec.externalTrafficPolicy", spec["externalTrafficPolicy"], told)


def _check_ports(spec: Obj) -> list[Cause]:
    ports = spec.get("ports") or []
    kind = spec.get("type")
    found: list[Cause] = []
    if not ports and kind != "ExternalName" and not is_headless({"spec": spec}):
        found.append(causes.required("spec.ports"))
    seen_names: set[str] = set()
    seen_ports: set[tuple[str, int]] = set()
    for at, port in enumerate(ports):
        where = f"spec.ports[{at}]"
        found += _check_port(port, where, named=len(ports) > 1, kind=kind or "")
        name = port.get("name") or ""
        if name and name in seen_names:
            found.append(causes.duplicate(f"{where}.name", name))
        key = (port.get("protocol", ""), port.get("port", 0))
        if key in seen_ports:
            found.append(causes.duplicate(where, {"protocol": key[0], "port": key[1]}))
        seen_names.add(name)
        seen_ports.add(key)
    return found


def _check_port(port: Obj, where: str, *, named: bool, kind: str) -> Iterator[Cause]:
    name = port.get("name") or ""
    if named and not name:
        yield causes.required(f"{where}.name")
    elif name:
        yield from (causes.invalid(f"{where}.name", name, c) for c in names.dns_label(name))
    number = port.get("port", 0)
    yield from (causes.invalid(f"{where}.port", number, c) for c in names.port_number(number))
    if port.get("protocol") not in ("TCP", "UDP", "SCTP"):
        yield causes.not_supported(f"{where}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
    yield from port_reference(port.get("targetPort", 0), f"{where}.targetPort")
    if port.get("nodePort") and kind in ("ClusterIP", "ExternalName"):
        yield causes.forbidden(f"{where}.nodePort", f"may not be used when `type` is '{kind}'")
