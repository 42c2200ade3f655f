"""The older form: one Endpoints object per Service, addresses grouped into subsets by their ports. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kdist.api import meta, pods
from kdist.api.meta import Obj
from kdist.controllers.endpoints import plan
from kdist.controllers.endpoints.plan import Port
from kdist.controllers.hashing import canonical

# Addresses in one object; a mark says when some were left out.
CAPACITY = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"


def subsets(service: Obj, members: Iterable[Obj]) -> list[Obj]:
    """The subsets, in a stable order."""
    family = plan.families(service)[0]
    tolerant = bool(meta.get(service, "spec.publishNotReadyAddresses"))
    grouped: dict[tuple[Port, ...], tuple[list[Obj], list[Obj]]] = {}
    for pod in members:
        if not plan.concerns(pod, terminating=tolerant):
            continue
        found = plan.ports(service, pod)
        if not found and not plan.is_headless(service):
            continue
        ready, not_ready = grouped.setdefault(found, ([], []))
        side = ready if tolerant or pods.is_ready(pod) else not_ready
        side += [_address(service, pod, ip) for ip in plan.addresses(pod, family)]
    return [_subset(key, *sides) for key, sides in sorted(grouped.items()) if sides[0] or sides[1]]


def _address(service: Obj, pod: Obj, ip: str) -> Obj:
    made: Obj = {"ip": ip, "nodeName": pod["spec"]["nodeName"], "targetRef": plan.reference(pod)}
    name = plan.hostname(service, pod)
    return {**made, "hostname": name} if name else made


def _subset(found: tuple[Port, ...], ready: list[Obj], not_ready: list[Obj]) -> Obj:
    made: Obj = {}
    for field, side in (("addresses", ready), ("notReadyAddresses", not_ready)):
        if side:
            made[field] = sorted(side, key=lambda a: (a["ip"], a["targetRef"]["uid"]))
    if found:
        made["ports"] = [_port(p) for p in found]
    return made


def _port(port: Port) -> Obj:
    made: Obj = {"port": port.number, "protocol": port.protocol}
    if port.name:
        made["name"] = port.name
    if port.app_protocol:
        made["appProtocol"] = port.app_protocol
    return made


def truncate(found: list[Obj]) -> tuple[list[Obj], bool]:
    """At most CAPACITY addresses, ready ones first, and whether any were left out."""
    left, cut = CAPACITY, False
    for field in ("addresses", "notReadyAddresses"):
        for subset in found:
            addresses = subset.get(field, [])
            if len(addresses) > left:
                subset[field], cut = addresses[:left], True
            left -= len(subset.get(field, []))
    return [s for s in found if s.get("addresses") or s.get("notReadyAddresses")], cut


def endpoints(service: Obj, members: list[Obj], existing: Obj | None) -> Obj | None:
    """The object to write, or None when the existing one is right."""
    found, cut = truncate(subsets(service, members))
    labels = plan.copied_labels(service)
    before = existing or {"metadata": {"name": meta.name(service), "namespace": meta.namespace(service)}}
    annotations = {k: v for k, v in meta.annotations(before).items() if k != OVER_CAPACITY}
    if cut:
        annotations[OVER_CAPACITY] = "truncated"
    same = (
        existing is not None
        and canonical(existing.get("subsets") or []) == canonical(found)
        and meta.labels(existing) == labels
        and (OVER_CAPACITY in meta.annotations(existing)) == cut
    )
    if same:
        return None
    annotations[plan.LAST_CHANGE] = plan.trigger_time(service, members)
    return {
        **before,
        "metadata": {**before["metadata"], "labels": labels, "annotations": annotations},
        "subsets": found,
    }
