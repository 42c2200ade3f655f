"""How a Service's endpoints are spread over EndpointSlices, changing as few slices as possible. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field

from kdist.api import meta, pods
from kdist.api.kinds import SERVICES
from kdist.api.meta import Obj
from kdist.controllers.endpoints import plan
from kdist.controllers.endpoints.plan import Port
from kdist.controllers.hashing import canonical

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
ZONE = "topology.kubernetes.io/zone"
# Endpoints in one slice.
CAPACITY = 100

# Endpoints that share a slice: address type and ports.
Group = tuple[str, tuple[Port, ...]]


@dataclass(frozen=True, slots=True)
class Origin:
    """What slices are made for: a Service, or Endpoints that somebody else wrote for one."""

    namespace: str
    name: str  # of the Service
    owner: Obj  # the owner reference
    manager: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    def all_labels(self) -> dict[str, str]:
        """The labels of each slice."""
        return {**self.labels, SERVICE_NAME: self.name, MANAGED_BY: self.manager}


def of_service(service: Obj, trigger: str) -> Origin:
    """The slices of a Service that selects pods; ``trigger`` is the time of the last change that matters."""
    return Origin(
        meta.namespace(service),
        meta.name(service),
        meta.owner_ref(service, SERVICES),
        MANAGER,
        plan.copied_labels(service),
        {plan.LAST_CHANGE: trigger},
    )


@dataclass(slots=True)
class Changes:
    """What to write."""

    create: list[Obj] = field(default_factory=list)
    update: list[Obj] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)


def endpoint(service: Obj, pod: Obj, address: str, zones: Mapping[str, str]) -> Obj:
    """A pod as an endpoint; a terminating one is never ready, but may still be serving."""
    serving, terminating = pods.is_ready(pod), meta.is_deleting(pod)
    tolerant = bool(meta.get(service, "spec.publishNotReadyAddresses"))
    node = pod["spec"]["nodeName"]
    made: Obj = {
        "addresses": [address],
        "conditions": {
            "ready": tolerant or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": plan.reference(pod),
        "nodeName": node,
    }
    if zone := zones.get(node):
        made["zone"] = zone
    if name := plan.hostname(service, pod):
        made["hostname"] = name
    return made


def groups(service: Obj, members: Iterable[Obj], zones: Mapping[str, str]) -> dict[Group, list[Obj]]:
    """The wanted endpoints; a Service without any still has one empty group per family."""
    members = [p for p in members if plan.concerns(p, terminating=True)]
    wanted: dict[Group, list[Obj]] = {}
    for family in plan.families(service):
        for pod in members:
            for address in plan.addresses(pod, family):
                made = endpoint(service, pod, address, zones)
                wanted.setdefault((family, plan.ports(service, pod)), []).append(made)
        if not any(group[0] == family for group in wanted):
            wanted[(family, ())] = []
    return wanted


def reconcile(origin: Origin, existing: list[Obj], wanted: dict[Group, list[Obj]]) -> Changes:
    """What to write so that the slices hold exactly the wanted endpoints."""
    changes, left = Changes(), dict(wanted)
    by_group: dict[Group, list[Obj]] = {}
    for piece in existing:
        by_group.setdefault(_group_of(piece), []).append(piece)
    for group, pieces in by_group.items():
        if group in left:
            _reconcile_group(origin, group, pieces, left.pop(group), changes)
        else:
            changes.delete += pieces
    for group, endpoints in left.items():
        _reconcile_group(origin, group, [], endpoints, changes)
    return changes


def _group_of(piece: Obj) -> Group:
    found = (
        Port(p.get("name") or "", p.get("port") or 0, p.get("protocol") or "TCP", p.get("appProtocol") or "")
        for p in piece.get("ports") or ()
    )
    return piece["addressType"], tuple(sorted(found))


def _identity(made: Obj) -> str:
    return f"{made['addresses'][0]} {meta.get(made, 'targetRef.uid', '')}"


def _reconcile_group(
    origin: Origin, group: Group, pieces: list[Obj], wanted: list[Obj], changes: Changes
) -> None:
    missing = {_identity(e): e for e in wanted}
    kept: list[tuple[Obj, list[Obj]]] = []
    for piece in pieces:
        known = [_identity(e) for e in piece.get("endpoints") or ()]
        kept.append((piece, [missing.pop(i) for i in known if i in missing]))
    # New endpoints go first where something changes anyway, then where there is room, then into new slices.
    kept.sort(key=lambda k: (_is_same(origin, *k), -len(k[1])))
    rest = list(missing.values())
    for piece, endpoints in kept:
        room = CAPACITY - len(endpoints)
        endpoints += rest[:room]
        rest = rest[room:]
        _settle(origin, piece, endpoints, len(kept) == 1, changes)
    while rest or not kept:
        part, rest = rest[:CAPACITY], rest[CAPACITY:]
        changes.create.append(_new(origin, group, part))
        if not rest:
            break


def _settle(origin: Origin, piece: Obj, endpoints: list[Obj], is_only: bool, changes: Changes) -> None:
    if not endpoints and not is_only:
        changes.delete.append(piece)
    elif not _is_same(origin, piece, endpoints):
        changed = deepcopy(piece)
        changed["endpoints"] = endpoints
        _describe(origin, changed)
        changes.update.append(changed)


def _is_same(origin: Origin, piece: Obj, endpoints: list[Obj]) -> bool:
    notes = {k: v for k, v in origin.annotations.items() if k != plan.LAST_CHANGE}
    return (
        canonical(piece.get("endpoints") or []) == canonical(endpoints)
        and meta.labels(piece) == origin.all_labels()
        and notes.items() <= meta.annotations(piece).items()
    )


def _describe(origin: Origin, piece: Obj) -> None:
    piece["metadata"]["labels"] = origin.all_labels()
    piece["metadata"]["annotations"] = {**meta.annotations(piece), **origin.annotations}


def _new(origin: Origin, group: Group, endpoints: list[Obj]) -> Obj:
    family, group_ports = group
    made: Obj = {
        "metadata": {
            "generateName": f"{origin.name}-",
            "namespace": origin.namespace,
            "ownerReferences": [origin.owner],
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": [
            {
                "name": p.name,
                "port": p.number,
                "protocol": p.protocol,
                **({"appProtocol": p.app_protocol} if p.app_protocol else {}),
            }
            for p in group_ports
        ],
    }
    _describe(origin, made)
    return made
