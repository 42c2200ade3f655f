"""NetworkPolicies."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import oddaddresses
from kdist.apiserver.registry.addresses import check_cidr, network
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.labelselectors import check_label_selector
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import ruled

_TYPES = ("Ingress", "Egress")
_PROTOCOLS = ("TCP", "UDP", "SCTP")


class NetworkPolicyStrategy(Strategy):
    """NetworkPolicies."""

    checks_required = False
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
                for index, port in enumerate(rule.get("ports") or ()):
                    found += _port(port, f"{where}.ports[{index}]")
                for index, peer in enumerate(rule.get(peers) or ()):
                    found += _peer(peer, f"{where}.{peers}[{index}]")
        types = spec.get("policyTypes") or []
        if len(types) > len(_TYPES):
            told = "may not specify more than two policyTypes"
            return [*found, causes.invalid("spec.policyTypes", types, told)]
        for at, kind in enumerate(types):
            if kind not in _TYPES:
                found.append(causes.not_supported(f"spec.policyTypes[{at}]", kind, _TYPES))
        return found

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """Ranges that are hard to read, from 1.33 on."""
        newer = self.features.reached("1.33")
        return oddaddresses.of_networks(_ranges(obj.get("spec") or {}), self.features) if newer else []


def _ranges(spec: Obj) -> Iterator[tuple[str, str]]:
    """Every range with its place."""
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for at, rule in enumerate(spec.get(direction) or ()):
            for index, peer in enumerate(rule.get(peers) or ()):
                where = f"spec.{direction}[{at}].{peers}[{index}].ipBlock"
                block = peer.get("ipBlock") or {}
                yield f"{where}.cidr", block.get("cidr") or ""
                for number, text in enumerate(block.get("except") or ()):
                    yield f"{where}.except[{number}]", text


def _peer(peer: Obj, where: str) -> Iterator[Cause]:
    if not peer:
        yield causes.required(where, "must specify a peer")
    for field in ("podSelector", "namespaceSelector"):
        yield from check_label_selector(peer.get(field), f"{where}.{field}")
    if (block := peer.get("ipBlock")) is not None:
        yield from _block(block, f"{where}.ipBlock")
        if len(peer) > 1:
            yield causes.forbidden(where, "may not specify both ipBlock and another peer")


def _block(block: Obj, where: str) -> Iterator[Cause]:
    text = block.get("cidr") or ""
    if not text:
        yield causes.required(f"{where}.cidr")
        return
    yield from check_cidr(f"{where}.cidr", text)
    if (whole := network(text)) is None:
        return
    for at, exception in enumerate(block.get("except") or ()):
        field, part = f"{where}.except[{at}]", network(exception)
        if part is None:
            yield from check_cidr(field, exception)
        elif part.network_address not in whole or part.prefixlen <= whole.prefixlen:
            yield causes.invalid(field, exception, "must be a strict subset of `cidr`")


def _port(port: Obj, where: str) -> Iterator[Cause]:
    value, end, protocol = port.get("port"), port.get("endPort"), port.get("protocol")
    if protocol is not None and protocol not in _PROTOCOLS:
        yield causes.not_supported(f"{where}.protocol", protocol, _PROTOCOLS)
    field = f"{where}.endPort"
    if isinstance(value, int):
        yield from (causes.invalid(f"{where}.port", value, c) for c in names.port_number(value))
        if end is not None and end < value:  # upstream tells the port here, too
            yield causes.invalid(field, value, "must be greater than or equal to `port`")
        if end is not None:
            yield from (causes.invalid(field, end, c) for c in names.port_number(end))
        return
    if end is not None:
        what = "not specified" if value is None else "non-numeric"
        yield causes.invalid(field, end, f"may not be specified when `port` is {what}")
    if value is not None:
        yield from ruled(f"{where}.port", value, names.port_name)
