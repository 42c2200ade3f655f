"""One Service and its EndpointSlices as elements of the table's sets and maps. Pure.

A key of an address is ``ADDRESS . PROTOCOL . PORT``, of a node port ``PROTOCOL . PORT``; that is also how
nftables writes them. In the endpoint maps, which exist once per protocol, it is ``ADDRESS . PORT . INDEX`` or
``PORT . INDEX``. The value of a plain set's element is the empty string.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kdist.proxy import endpoints as choosing
from kdist.proxy.chains import LOCAL_OFFSET, Chain, Masquerade, Pick, Remember, Split
from kdist.proxy.endpoints import Backend, Choice
from kdist.proxy.family import Family
from kdist.proxy.services import Service, ServicePort

# set or map -> key -> value
Elements = dict[str, dict[str, str]]
# (address, or None for a node port; port) -> where its UDP flows may go
Flows = dict[tuple[str | None, int], frozenset[Backend]]


@dataclass(frozen=True, slots=True)
class Arranged:
    """The endpoints of one port in the order of their indices."""

    cluster: tuple[Backend, ...] = ()
    local: tuple[Backend, ...] = ()


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """All that one Service contributes."""

    elements: Elements
    chains: frozenset[Chain]
    arranged: dict[str, Arranged]
    flows: Flows
    # verdict-map key -> every endpoint it may lead to
    backends: dict[str, frozenset[Backend]]
    affine: bool = False
    health_check_port: int = 0
    local_endpoints: int = 0


@dataclass(slots=True)
class _Draft:
    elements: defaultdict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    chains: set[Chain] = field(default_factory=set)

    def point(self, map_name: str, key: str, chain: Chain) -> None:
        self.elements[map_name][key] = f"goto {chain.name}"
        self.chains.add(chain)
        self.chains.update(chain.requires())


@dataclass(frozen=True, slots=True)
class _Frontend:
    """One key by which a connection may arrive."""

    ip: str | None  # None: any address of this node
    protocol: str
    port: int
    internal: bool = False

    @property
    def by_port(self) -> bool:
        """Whether it is a node port."""
        return self.ip is None

    @property
    def key(self) -> str:
        """In the verdict maps."""
        return (
            f"{self.protocol} . {self.port}"
            if self.ip is None
            else f"{self.ip} . {self.protocol} . {self.port}"
        )

    def index(self, number: int) -> str:
        """In the endpoint maps."""
        return f"{self.port} . {number}" if self.ip is None else f"{self.ip} . {self.port} . {number}"


def _frontends(service: Service, port: ServicePort) -> Iterable[_Frontend]:
    for ip in service.cluster_ips:
        yield _Frontend(ip, port.protocol, port.port, internal=True)
    for ip in dict.fromkeys(service.external_ips + service.ingress_ips):
        yield _Frontend(ip, port.protocol, port.port)
    if port.node_port:
        yield _Frontend(None, port.protocol, port.node_port)


def plan(
    service: Service,
    slices: Iterable[dict[str, Any]],
    family: Family,
    node: str,
    previous: Mapping[str, Arranged] | None = None,
) -> ServicePlan:
    """Everything the table must hold for ``service``; ``previous`` keeps endpoints at their indices."""
    draft, slices = _Draft(), list(slices)
    arranged: dict[str, Arranged] = {}
    backends: dict[str, frozenset[Backend]] = {}
    local: set[str] = set()
    flows: Flows = {}
    for ip in service.cluster_ips:
        draft.elements["cluster-ips"][ip] = ""
    for port in service.ports:
        choice = choosing.choose(choosing.read(slices, port, family, node))
        name = f"{port.name}/{port.protocol}"
        before = (previous or {}).get(name, Arranged())
        order = Arranged(
            choosing.arrange(choice.cluster, before.cluster), choosing.arrange(choice.local, before.local)
        )
        arranged[name] = order
        local.update(b.address for b in choice.local)
        for frontend in _frontends(service, port):
            _add_frontend(draft, service, frontend, order)
            backends[frontend.key] = choice.cluster | choice.local
        for address in choice.own_addresses:
            draft.elements["hairpins"][f"{address} . {address}"] = ""
        _restrict_sources(draft, service, port)
        if port.protocol == "udp":
            flows.update(_flows(service, port, choice))
    return ServicePlan(
        elements=dict(draft.elements),
        chains=frozenset(draft.chains),
        arranged=arranged,
        flows=flows,
        backends=backends,
        affine=bool(service.affinity_seconds),
        health_check_port=service.health_check_port,
        local_endpoints=len(local),
    )


def _add_frontend(draft: _Draft, service: Service, frontend: _Frontend, order: Arranged) -> None:
    local_policy = service.internal_local if frontend.internal else service.external_local
    verdicts = "node-ports" if frontend.by_port else "services"
    if not order.cluster:
        if not frontend.internal:  # an unanswered cluster IP is refused as such
            draft.elements["refused-ports" if frontend.by_port else "refused"][frontend.key] = ""
        return
    if frontend.internal and local_policy:
        if not order.local:
            draft.elements[verdicts][frontend.key] = "drop"
            return
        chain: Chain = _pick(frontend, len(order.local), LOCAL_OFFSET, Masquerade.OUTSIDERS, service)
    elif frontend.internal:
        chain = _pick(frontend, len(order.cluster), 0, Masquerade.OUTSIDERS, service)
    elif local_policy:
        everywhere = _pick(frontend, len(order.cluster), 0, Masquerade.NEVER, service)
        here = _pick(frontend, len(order.local), LOCAL_OFFSET, Masquerade.NEVER, service)
        chain = Split(everywhere, here if order.local else None)
    else:
        chain = _pick(frontend, len(order.cluster), 0, Masquerade.ALWAYS, service)
    draft.point(verdicts, frontend.key, chain)
    _add_endpoints(draft, frontend, order, local_policy)
    if service.affinity_seconds:
        remembered = "affine-ports" if frontend.by_port else "affine"
        draft.point(remembered, frontend.key, Remember(frontend.protocol, service.affinity_seconds))


def _pick(frontend: _Frontend, count: int, offset: int, masquerade: Masquerade, service: Service) -> Pick:
    return Pick(
        frontend.protocol, frontend.by_port, count, offset, masquerade, bool(service.affinity_seconds)
    )


def _add_endpoints(draft: _Draft, frontend: _Frontend, order: Arranged, local_policy: bool) -> None:
    prefix = "node-port-" if frontend.by_port else ""
    elements = draft.elements[f"{prefix}endpoints-{frontend.protocol}"]
    if not (local_policy and frontend.internal):
        for index, backend in enumerate(order.cluster):
            elements[frontend.index(index)] = str(backend)
    if local_policy:
        for index, backend in enumerate(order.local):
            elements[frontend.index(LOCAL_OFFSET + index)] = str(backend)


def _restrict_sources(draft: _Draft, service: Service, port: ServicePort) -> None:
    if not service.source_ranges:
        return
    for ip in service.ingress_ips:
        key = f"{ip} . {port.protocol} . {port.port}"
        draft.elements["restricted"][key] = ""
        for source in service.source_ranges:
            draft.elements["sources"][f"{key} . {source}"] = ""


def _flows(service: Service, port: ServicePort, choice: Choice) -> Flows:
    allowed = choice.cluster | choice.local
    ips = service.cluster_ips + service.external_ips + service.ingress_ips
    flows: Flows = {(ip, port.port): allowed for ip in ips}
    if port.node_port:
        flows[None, port.node_port] = allowed
    return flows
