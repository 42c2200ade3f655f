"""What objects cost, counted as quotas count. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

from kdist.api import meta, pods, quantity
from kdist.api.meta import Obj

Usage = Counter[str]
_MILLI = 1000
# Resources that a quota names without the prefix ``requests.``.
_BARE = ("cpu", "memory", "ephemeral-storage")


def pod_usage(pod: Obj) -> Usage:
    """A pod's requests and limits in thousandths; a finished pod costs nothing but its count."""
    usage: Usage = Counter({"count/pods": _MILLI})
    if pods.is_terminal(pod):
        return usage
    usage["pods"] = _MILLI
    for side in ("requests", "limits"):
        for resource, amount in _peak(pod, side).items():
            usage[f"{side}.{resource}"] += amount
            if side == "requests" and (resource in _BARE or resource.startswith("hugepages-")):
                usage[resource] += amount
    return usage


def _peak(pod: Obj, side: str) -> Usage:
    """Containers and sidecars together, or the largest init step; overhead included. In thousandths."""
    spec = pod["spec"]
    running, peak = Counter[str](), Counter[str]()
    for container in spec.get("initContainers") or ():
        step = running + _amounts(meta.get(container, f"resources.{side}", {}))
        peak |= step
        if pods.is_sidecar(container):
            running = step
    for container in spec.get("containers") or ():
        running = running + _amounts(meta.get(container, f"resources.{side}", {}))
    overhead = (
        _amounts(spec.get("overhead") or {}) if side == "requests" or peak | running else Counter[str]()
    )
    return (peak | running) + overhead


def _amounts(resources: Obj) -> Usage:
    return Counter({name: int(quantity.parse(text) * _MILLI) for name, text in resources.items()})


def claim_usage(claim: Obj) -> Usage:
    """A claim's storage, in all and for its class."""
    amount = int(quantity.parse(meta.get(claim, "spec.resources.requests.storage", "0")) * _MILLI)
    usage: Usage = Counter({"persistentvolumeclaims": _MILLI, "requests.storage": amount})
    if storage_class := meta.get(claim, "spec.storageClassName"):
        prefix = f"{storage_class}.storageclass.storage.k8s.io"
        usage[f"{prefix}/persistentvolumeclaims"] = _MILLI
        usage[f"{prefix}/requests.storage"] = amount
    return usage


def service_usage(service: Obj) -> Usage:
    """A Service, its node ports and whether it wants a load balancer."""
    usage: Usage = Counter({"services": _MILLI})
    kind, ports = meta.get(service, "spec.type"), len(meta.get(service, "spec.ports", ()))
    if kind == "NodePort":
        usage["services.nodeports"] = ports * _MILLI
    elif kind == "LoadBalancer":
        usage["services.loadbalancers"] = _MILLI
        if meta.get(service, "spec.allocateLoadBalancerNodePorts") is not False:
            usage["services.nodeports"] = ports * _MILLI
    return usage


def in_scope(quota: Obj, pod: Obj) -> bool:
    """Whether a pod is one that the quota counts."""
    plain = [{"scopeName": s, "operator": "Exists"} for s in meta.get(quota, "spec.scopes", ())]
    selected = meta.get(quota, "spec.scopeSelector.matchExpressions", [])
    return all(_matches(expression, pod) for expression in plain + list(selected))


def _matches(expression: Obj, pod: Obj) -> bool:
    spec, scope = pod["spec"], expression["scopeName"]
    if scope in ("Terminating", "NotTerminating"):
        return bool((spec.get("activeDeadlineSeconds") is not None) == (scope == "Terminating"))
    if scope in ("BestEffort", "NotBestEffort"):
        return bool((pods.qos_class(pod) == "BestEffort") == (scope == "BestEffort"))
    if scope == "CrossNamespacePodAffinity":
        return _crosses_namespaces(spec)
    name, values = spec.get("priorityClassName") or "", expression.get("values") or ()
    return {
        "Exists": bool(name),
        "DoesNotExist": not name,
        "In": name in values,
        "NotIn": name not in values,
    }[expression["operator"]]


def _crosses_namespaces(spec: Obj) -> bool:
    for side in ("podAffinity", "podAntiAffinity"):
        for strength in ("required", "preferred"):
            path = f"affinity.{side}.{strength}DuringSchedulingIgnoredDuringExecution"
            for term in meta.get(spec, path, ()):
                term = term.get("podAffinityTerm", term)
                if term.get("namespaces") or term.get("namespaceSelector") is not None:
                    return True
    return False


def used(quota: Obj, usages: Iterable[Usage]) -> dict[str, str]:
    """The totals of the resources that the quota limits, as quantities in the format of the limit."""
    total: Usage = Counter()
    for usage in usages:
        total.update(usage)
    return {
        name: quantity.format(
            Decimal(total[name]) / _MILLI, "BinarySI" if str(text).endswith("i") else "DecimalSI"
        )
        for name, text in meta.get(quota, "spec.hard", {}).items()
    }
