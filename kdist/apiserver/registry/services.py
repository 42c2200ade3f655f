"""Services: defaults, what a change of type leaves behind, and which addresses and ports a Service asks for.

Allocating cluster IPs and node ports is the server's work; :func:`cluster_ips` and :func:`node_ports` tell it
what an object holds, :func:`needs_node_ports` what it still lacks.
"""

from __future__ import annotations

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import oddaddresses, servicechecks
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.registry.servicetypes import (
    HEADLESS,
    is_exposed,
    is_headless,
    needs_health_check,
    on_nodes,
)
from kdist.apiserver.validation import names

__all__ = ["HEADLESS", "ServiceStrategy", "cluster_ips", "is_headless", "node_ports", "on_nodes"]

_AFFINITY_SECONDS = 10800
_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"


def cluster_ips(service: Obj) -> list[str]:
    """The cluster IPs that the Service holds or asks for by name."""
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return []
    found = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return [ip for ip in found if ip and ip != HEADLESS]


def node_ports(service: Obj) -> set[int]:
    """The node ports that the Service holds or asks for by number; the health check's among them."""
    spec = service.get("spec") or {}
    found = {p["nodePort"] for p in spec.get("ports") or () if p.get("nodePort")}
    return found | {spec["healthCheckNodePort"]} if spec.get("healthCheckNodePort") else found


def needs_node_ports(service: Obj) -> list[Obj]:
    """The ports that a node port has to be picked for."""
    spec = service.get("spec") or {}
    return [p for p in spec.get("ports") or () if not p.get("nodePort")] if gets_node_ports(spec) else []


def gets_node_ports(spec: Obj) -> bool:
    """Whether ports without a node port get one."""
    kind = spec.get("type")
    refused = kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False
    return on_nodes(kind) and not refused


def needs_health_check_port(service: Obj) -> bool:
    """Whether the Service wants a health check port and has none."""
    spec = service.get("spec") or {}
    return needs_health_check(spec) and not spec.get("healthCheckNodePort")


class ServiceStrategy(Strategy):
    """Services."""

    allow_create_on_update = True
    checks_required = False

    name_rule = staticmethod(names.dns_1035_label)

    def default(self, obj: Obj) -> None:
        """Type, protocols, target ports, traffic policies."""
        spec = obj.setdefault("spec", {})
        fill(spec, sessionAffinity="None", type="ClusterIP")
        if spec["sessionAffinity"] == "None":
            spec.pop("sessionAffinityConfig", None)
        elif spec["sessionAffinity"] == "ClientIP":
            affinity = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
            fill(affinity, timeoutSeconds=_AFFINITY_SECONDS)
        for port in spec.get("ports") or ():
            fill(port, protocol="TCP")
            if port.get("targetPort") in (None, 0, ""):
                port["targetPort"] = port.get("port", 0)
        if is_exposed(spec):
            fill(spec, externalTrafficPolicy="Cluster")
        if spec["type"] in ("ClusterIP", "NodePort", "LoadBalancer"):
            fill(spec, internalTrafficPolicy="Cluster")
        if spec["type"] == "LoadBalancer":
            fill(spec, allocateLoadBalancerNodePorts=True)
            for ingress in meta.get(obj, "status.loadBalancer.ingress", []):
                if ingress.get("ip"):
                    fill(ingress, ipMode="VIP")

    def prepare_create(self, obj: Obj) -> None:
        """No load balancer has answered yet; who knows one cluster IP only means it to be the only one."""
        super().prepare_create(obj)
        obj["status"] = {"loadBalancer": {}}
        spec = obj["spec"]
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]

    def prepare_update(self, new: Obj, old: Obj) -> None:
        """Addresses and ports that the user leaves out stay; those of another type go."""
        super().prepare_update(new, old)
        spec, before = new["spec"], old.get("spec") or {}
        _keep_allocated(spec, before)
        _agree(spec, before)
        if spec["type"] != "ExternalName":
            _keep_families(spec, before)
        _drop_unused(spec, before)
        if spec["type"] != "LoadBalancer" and meta.get(new, "status.loadBalancer"):
            new["status"] = {**new["status"], "loadBalancer": {}}

    def check(self, obj: Obj) -> list[Cause]:
        """Type, ports, addresses, policies."""
        return servicechecks.check(obj)

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Addresses, families and the class of the load balancer stay."""
        return servicechecks.check_update(new.get("spec") or {}, old.get("spec") or {})

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """What a load balancer answered."""
        return [*super().validate_status_update(new, old), *servicechecks.check_balancer(new)]

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """Annotations of old, addresses that are hard to read, fields without effect."""
        spec, told = obj.get("spec") or {}, []
        if _HINTS in meta.annotations(obj):
            told.append(f"annotation {_HINTS} is deprecated, please use {_MODE} instead")
        addresses = [(f"clusterIPs[{at}]", ip) for at, ip in enumerate(cluster_ips(obj))]
        addresses += [(f"externalIPs[{at}]", ip) for at, ip in enumerate(spec.get("externalIPs") or ())]
        addresses += [("loadBalancerIP", ip) for ip in [spec.get("loadBalancerIP")] if ip]
        told += oddaddresses.of_addresses(((f"spec.{field}", ip) for field, ip in addresses), self.features)
        ranges = enumerate(spec.get("loadBalancerSourceRanges") or ())
        named = ((f"spec.loadBalancerSourceRanges[{at}]", text) for at, text in ranges)
        told += oddaddresses.of_networks(named, self.features)
        if spec.get("type") == "ExternalName" and spec.get("externalIPs"):
            told.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
        if spec.get("type") != "ExternalName" and spec.get("externalName"):
            told.append('spec.externalName is ignored when spec.type is not "ExternalName"')
        return told

    def fields(self, obj: Obj) -> dict[str, str]:
        """By cluster IP and type, too."""
        spec = obj.get("spec") or {}
        extra = {"spec.clusterIP": spec.get("clusterIP", ""), "spec.type": spec.get("type", "")}
        return {**super().fields(obj), **extra}


def _keep_allocated(spec: Obj, before: Obj) -> None:
    """What the server gave, for clients that send back less than they read."""
    if "ExternalName" not in (spec["type"], before.get("type")):
        for field in ("clusterIP", "clusterIPs"):
            if not spec.get(field) and before.get(field):
                spec[field] = before[field]
    if gets_node_ports(spec) and gets_node_ports(before):
        _keep_node_ports(spec, before)
    if needs_health_check(spec) and needs_health_check(before) and not spec.get("healthCheckNodePort"):
        fill(spec, healthCheckNodePort=before.get("healthCheckNodePort"))


def _keep_node_ports(spec: Obj, before: Obj) -> None:
    had = {p.get("name") or "": p.get("nodePort") for p in before.get("ports") or ()}
    named = {p["nodePort"] for p in spec.get("ports") or () if p.get("nodePort")}
    used = {number for number in had.values() if number in named}
    for port in spec.get("ports") or ():
        kept = had.get(port.get("name") or "")
        if not port.get("nodePort") and kept and kept not in used:
            port["nodePort"] = kept


def _agree(spec: Obj, before: Obj) -> None:
    """clusterIP and the first of clusterIPs are the same field; the client may know the former only."""
    address, had = spec.get("clusterIP") or "", before.get("clusterIP") or ""
    same = (spec.get("clusterIPs") or []) == (before.get("clusterIPs") or [])
    if address == had or not same:
        return
    if address:
        spec["clusterIPs"] = [address]
    else:
        spec.pop("clusterIPs", None)


def _keep_families(spec: Obj, before: Obj) -> None:
    """A client that names no families means those that are there."""
    if spec.get("ipFamilyPolicy") is None and before.get("ipFamilyPolicy") is not None:
        spec["ipFamilyPolicy"] = before["ipFamilyPolicy"]
    if spec.get("ipFamilyPolicy") != "SingleStack":
        return
    for field in ("clusterIPs", "ipFamilies"):
        if spec.get(field) and spec[field] == before.get(field):
            spec[field] = spec[field][:1]


def _drop_unused(spec: Obj, before: Obj) -> None:
    """Fields of another type that the change of type leaves behind, unless the user changed them, too."""
    kind, had = spec["type"], before.get("type")
    dropped: list[str] = []
    if kind == "ExternalName" and had != "ExternalName":
        if all(spec.get(f) == before.get(f) for f in ("clusterIP", "clusterIPs")):
            dropped += ["clusterIP", "clusterIPs"]
        dropped += ["ipFamilies", "ipFamilyPolicy"]
    if on_nodes(had) and not on_nodes(kind) and node_ports_of(spec) <= node_ports_of(before):
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)
    if needs_health_check(before) and not needs_health_check(spec):
        dropped.append("healthCheckNodePort")
    if had == "LoadBalancer" and kind != "LoadBalancer":
        dropped += ["allocateLoadBalancerNodePorts", "loadBalancerClass"]
    if is_exposed(before) and not is_exposed(spec):
        dropped.append("externalTrafficPolicy")
    for field in dropped:
        if spec.get(field) == before.get(field):
            spec.pop(field, None)


def node_ports_of(spec: Obj) -> set[int]:
    """The node ports of the ports alone."""
    return {p["nodePort"] for p in spec.get("ports") or () if p.get("nodePort")}
