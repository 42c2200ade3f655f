"""Whether a pod that was bound to this node fits on it; a pod that does not fails at once. Pure.

The scheduler's view may be behind: two pods can be bound to the same last free CPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kdist.agent.pods import spec as specs
from kdist.agent.pods import sysctls
from kdist.api import pods as api_pods
from kdist.api import quantity, selectors
from kdist.api.meta import Obj

_WILDCARDS = ("", "0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a pod is not run: reason and message of its Failed status.

    ``by_node``: because of what the Node object says, which others write and which may be newer than ours.
    """

    reason: str
    message: str
    by_node: bool = False


def admit(pod: Obj, others: Iterable[Obj], allocatable: Mapping[str, int], node: Obj) -> Rejection | None:
    """None when the pod may run beside ``others``, else why not. Static pods always may."""
    if specs.is_static(pod):
        return None
    active = [p for p in others if not api_pods.is_terminal(p)]
    return (
        _resources(pod, active, _extended(node) | dict(allocatable))
        or _ports(pod, active)
        or _selection(pod, node)
        or _sysctls(pod)
    )


def _resources(pod: Obj, active: list[Obj], allocatable: Mapping[str, int]) -> Rejection | None:
    used: dict[str, int] = {"pods": len(active)}
    for other in active:
        for resource, amount in api_pods.requests(other).items():
            used[resource] = used.get(resource, 0) + amount
    for resource, wanted in {"pods": 1, **api_pods.requests(pod)}.items():
        if "/" in resource and resource not in allocatable:
            continue  # nobody here counts it, perhaps not yet: the scheduler knew better
        capacity, taken = allocatable.get(resource, 0), used.get(resource, 0)
        if wanted and taken + wanted > capacity:
            message = (
                f"Pod was rejected: Node didn't have enough resource: {resource}, "
                f"requested: {wanted}, used: {taken}, capacity: {capacity}"
            )
            return Rejection(f"OutOf{resource}", message, by_node="/" in resource)
    return None


def _extended(node: Obj) -> dict[str, int]:
    """Resources with a domain, which others than the agent write into the node's status."""
    written = (node.get("status") or {}).get("allocatable") or {}
    return {name: quantity.value(amount) for name, amount in written.items() if "/" in name}


def _sysctls(pod: Obj) -> Rejection | None:
    refused = sysctls.refusal(pod)
    return Rejection("SysctlForbidden", refused) if refused else None


def _host_ports(pod: Obj) -> Iterator[tuple[str, str, int]]:
    for container in specs.all_containers(pod):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("hostIP") or "", port.get("protocol") or "TCP", int(port["hostPort"])


def _ports(pod: Obj, active: list[Obj]) -> Rejection | None:
    taken = [entry for other in active for entry in _host_ports(other)]
    for ip, protocol, number in _host_ports(pod):
        for other_ip, other_protocol, other_number in taken:
            overlap = ip == other_ip or ip in _WILDCARDS or other_ip in _WILDCARDS
            if overlap and (protocol, number) == (other_protocol, other_number):
                message = (
                    "Pod was rejected: Predicate NodePorts failed: "
                    "node(s) didn't have free ports for the requested pod ports"
                )
                return Rejection("NodePorts", message)
    return None


def _selection(pod: Obj, node: Obj) -> Rejection | None:
    spec = specs.spec(pod)
    labels = (node.get("metadata") or {}).get("labels") or {}
    if not labels:
        return None  # Not registered yet: the scheduler knew better.
    wanted = spec.get("nodeSelector") or {}
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    terms = (affinity or {}).get("nodeSelectorTerms")
    fits = all(labels.get(k) == v for k, v in wanted.items())
    if fits and terms is not None:
        fits = selectors.match_node_selector_terms(terms, node)
    if fits:
        return None
    message = (
        "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    )
    return Rejection("NodeAffinity", message, by_node=True)
