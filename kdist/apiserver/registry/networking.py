"""networking.k8s.io: ingresses, ingress classes, network policies."""

from __future__ import annotations

import ipaddress

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.labelselectors import check_label_selector
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.validation import causes, names

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")


class IngressStrategy(Strategy):
    """Ingresses."""

    tracks_generation = True

    def prepare_create(self, obj: Obj) -> None:
        """No address yet."""
        super().prepare_create(obj)
        obj["status"] = {"loadBalancer": {}}

    def check(self, obj: Obj) -> list[Cause]:
        """Something to route to, hosts, paths, back ends."""
        spec = obj.get("spec") or {}
        if not spec.get("rules") and not spec.get("defaultBackend"):
            return [causes.invalid("spec", [], "either `defaultBackend` or `rules` must be specified")]
        found: list[Cause] = []
        if "defaultBackend" in spec:
            found += _backend(spec["defaultBackend"], "spec.defaultBackend")
        for at, rule in enumerate(spec.get("rules") or ()):
            found += _rule(rule, f"spec.rules[{at}]")
        return found


def _rule(rule: Obj, where: str) -> list[Cause]:
    host = rule.get("host") or ""
    found = [
        causes.invalid(f"{where}.host", host, c)
        for c in (names.dns_subdomain(host.removeprefix("*.")) if host else ())
    ]
    for at, path in enumerate(meta.get(rule, "http.paths", [])):
        spot, kind = f"{where}.http.paths[{at}]", path.get("pathType")
        text = path.get("path") or ""
        if not kind:
            found.append(causes.required(f"{spot}.pathType", "pathType must be specified"))
        elif kind not in _PATH_TYPES:
            found.append(causes.not_supported(f"{spot}.pathType", kind, _PATH_TYPES))
        elif kind != "ImplementationSpecific" and not text.startswith("/"):
            found.append(causes.invalid(f"{spot}.path", text, "must be an absolute path"))
        found += _backend(path.get("backend") or {}, f"{spot}.backend")
    return found


def _backend(backend: Obj, where: str) -> list[Cause]:
    service, resource = backend.get("service"), backend.get("resource")
    if service and resource:
        return [causes.invalid(where, "", "cannot set both resource and service backends")]
    if not service:
        return [] if resource else [causes.required(where, "port name or number is required")]
    port = service.get("port") or {}
    if bool(port.get("name")) is bool(port.get("number")):
        told = (
            "cannot set both port name & port number"
            if port.get("name")
            else "port name or number is required"
        )
        return [causes.required(where, told)]
    if number := port.get("number"):
        return [causes.invalid(f"{where}.service.port.number", number, c) for c in names.port_number(number)]
    return [
        causes.invalid(f"{where}.service.port.name", port["name"], c) for c in names.port_name(port["name"])
    ]


class IngressClassStrategy(Strategy):
    """IngressClasses: the controller is for life."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Parameters are cluster-wide."""
        if parameters := meta.get(obj, "spec.parameters"):
            fill(parameters, scope="Cluster")

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The controller cannot change."""
        return causes.immutable(
            "spec.controller", meta.get(new, "spec.controller"), meta.get(old, "spec.controller")
        )


class NetworkPolicyStrategy(Strategy):
    """NetworkPolicies."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """TCP ports; both the directions that have rules, ingress always."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("podSelector", {})
        for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
            for port in rule.get("ports") or ():
                fill(port, protocol="TCP")
        fill(spec, policyTypes=["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])

    def check(self, obj: Obj) -> list[Cause]:
        """Peers, ports, types."""
        spec = obj.get("spec") or {}
        found = check_label_selector(spec.get("podSelector"), "spec.podSelector")
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for at, rule in enumerate(spec.get(direction) or ()):
                where = f"spec.{direction}[{at}]"
                for index, peer in enumerate(rule.get(peers) or ()):
                    found += _peer(peer, f"{where}.{peers}[{index}]")
                for index, port in enumerate(rule.get("ports") or ()):
                    found += _policy_port(port, f"{where}.ports[{index}]")
        for at, kind in enumerate(spec.get("policyTypes") or ()):
            if kind not in ("Ingress", "Egress"):
                found.append(causes.not_supported(f"spec.policyTypes[{at}]", kind, ("Ingress", "Egress")))
        return found


def _peer(peer: Obj, where: str) -> list[Cause]:
    if not peer:
        return [causes.required(where, "must specify a peer")]
    found: list[Cause] = []
    for field in ("podSelector", "namespaceSelector"):
        found += check_label_selector(peer.get(field), f"{where}.{field}")
    block = peer.get("ipBlock")
    if block is None:
        return found
    if len(peer) > 1:
        told = "may not specify both ipBlock and another peer"
        found.append(causes.forbidden(where, told))
    for field, text in [
        ("cidr", block.get("cidr") or ""),
        *(("except", e) for e in block.get("except") or ()),
    ]:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            told = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            found.append(causes.invalid(f"{where}.ipBlock.{field}", text, told))
    return found


def _policy_port(port: Obj, where: str) -> list[Cause]:
    found: list[Cause] = []
    value, end = port.get("port"), port.get("endPort")
    if isinstance(value, int):
        found += [causes.invalid(f"{where}.port", value, c) for c in names.port_number(value)]
        if end is not None and end < value:
            told = "must be greater than or equal to `port`"
            found.append(causes.invalid(f"{where}.endPort", end, told))
    elif isinstance(value, str):
        found += [causes.invalid(f"{where}.port", value, c) for c in names.port_name(value)]
        if end is not None:
            found.append(
                causes.invalid(f"{where}.endPort", end, "may not be specified when `port` is non-numeric")
            )
    if port.get("protocol") not in ("TCP", "UDP", "SCTP", None):
        found.append(causes.not_supported(f"{where}.protocol", port["protocol"], ("SCTP", "TCP", "UDP")))
    return found
