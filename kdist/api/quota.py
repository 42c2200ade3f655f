"""What objects count against ResourceQuotas. Pure; admission charges by it, the controller counts by it.

A usage maps the names of a quota's ``hard`` (``pods``, ``requests.cpu``, ``count/jobs.batch``, ...) to quantities
as texts, so that sums keep the way in which users write them. The names and rules are those of the published
Resource Quotas page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from kdist.api import meta, pods, quantity
from kdist.api.meta import Obj
from kdist.api.selectors import Requirement

Usage = dict[str, str]

# Counted under their bare name, too: older than the ``count/`` form.
_BARE = {
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
}
_STORAGE_SUFFIX = ".storageclass.storage.k8s.io/"
_STORAGE_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
# Where these are limited, every container has to say how much it wants.
_EXPLICIT = {"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}
_NATIVE = {"cpu", "memory", "ephemeral-storage"}


def usage(group: str, plural: str, obj: Obj, now: datetime | None = None) -> Usage:
    """What one object of a resource uses, under every name by which it can be limited."""
    counted = {f"count/{plural}.{group}" if group else f"count/{plural}": "1"}
    if group:
        return counted
    match plural:
        case "pods":
            return counted | _pod(obj, now or datetime.now(UTC))
        case "services":
            return counted | _service(obj)
        case "persistentvolumeclaims":
            return counted | _claim(obj)
        case _ if plural in _BARE:
            return {**counted, plural: "1"}
    return counted


def total(usages: Iterable[Mapping[str, str]]) -> Usage:
    """The sum of usages."""
    columns: dict[str, list[str]] = {}
    for one in usages:
        for name, amount in one.items():
            columns.setdefault(name, []).append(amount)
    return {name: quantity.add(*amounts) for name, amounts in columns.items()}


def increase(after: Mapping[str, str], before: Mapping[str, str]) -> Usage:
    """How much more ``after`` uses; names that do not grow are left out."""
    grown = {name: quantity.subtract(amount, before.get(name, "0")) for name, amount in after.items()}
    return {name: amount for name, amount in grown.items() if quantity.parse(amount) > 0}


def exceeded(wanted: Mapping[str, str], used: Mapping[str, str], hard: Mapping[str, str]) -> list[str]:
    """The names whose limit the wanted amounts would break, sorted."""
    return sorted(
        name
        for name in wanted.keys() & hard.keys()
        if quantity.parse(wanted[name]) + quantity.parse(used.get(name, "0")) > quantity.parse(hard[name])
    )


# ----- which quota concerns which object


def resource_of(name: str) -> tuple[str, str] | None:
    """(group, plural) of the resource that a name of ``hard`` limits; None when nothing counts under it."""
    if name.startswith("count/"):
        plural, _, group = name.removeprefix("count/").partition(".")
        return group, plural
    if name in _BARE:
        return "", name
    if name in ("services.nodeports", "services.loadbalancers"):
        return "", "services"
    if name == "requests.storage" or _STORAGE_SUFFIX in name:
        return "", "persistentvolumeclaims"
    bare = name.removeprefix("requests.")
    if bare in _NATIVE or bare.startswith("hugepages-") or name.removeprefix("limits.") in _NATIVE:
        return "", "pods"
    return ("", "pods") if name.startswith("requests.") and "/" in bare else None


def limited(group: str, plural: str, hard: Mapping[str, str]) -> list[str]:
    """The names of ``hard`` that limit a resource, whatever the quota's scopes."""
    return [name for name in hard if resource_of(name) == (group, plural)]


def in_scope(quota: Obj, group: str, plural: str, obj: Obj, now: datetime | None = None) -> bool:
    """Whether the object is in all of the quota's scopes. Only pods are in any."""
    spec = quota.get("spec") or {}
    wanted = [Requirement(scope, "Exists") for scope in spec.get("scopes") or ()]
    for term in meta.get(spec, "scopeSelector.matchExpressions", ()):
        wanted.append(Requirement(term["scopeName"], term["operator"], tuple(term.get("values") or ())))
    if (group, plural) != ("", "pods"):
        return not wanted
    return all(_has_scope(requirement, obj) for requirement in wanted)


def _has_scope(requirement: Requirement, pod: Obj) -> bool:
    spec = pod.get("spec") or {}
    match requirement.key:
        case "Terminating":
            return _ends(spec)
        case "NotTerminating":
            return not _ends(spec)
        case "BestEffort":
            return pods.qos_class(pod) == "BestEffort"
        case "NotBestEffort":
            return pods.qos_class(pod) != "BestEffort"
        case "CrossNamespacePodAffinity":
            return _looks_elsewhere(spec)
        case "PriorityClass":
            name = spec.get("priorityClassName")
            return requirement.matches({"PriorityClass": name} if name else {})
    return False


def _ends(spec: Obj) -> bool:
    seconds = spec.get("activeDeadlineSeconds")
    return seconds is not None and seconds >= 0


def _looks_elsewhere(spec: Obj) -> bool:
    for side in ("podAffinity", "podAntiAffinity"):
        affinity = meta.get(spec, f"affinity.{side}", {})
        terms = list(affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [weighted.get("podAffinityTerm") or {} for weighted in preferred]
        if any(t.get("namespaces") or t.get("namespaceSelector") is not None for t in terms):
            return True
    return False


# ----- what each resource uses


def unspecified(pod: Obj, names: Iterable[str]) -> str:
    """``must specify limits.cpu for: a,b; ...``: what containers have to say and do not; empty when nothing."""
    required = _EXPLICIT & set(names)
    spec = pod.get("spec") or {}
    silent: dict[str, set[str]] = {}
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        resources = container.get("resources") or {}
        told = _compute(resources.get("requests") or {}, resources.get("limits") or {})
        for name in required - told.keys():
            silent.setdefault(name, set()).add(container.get("name", ""))
    if not silent:
        return ""
    parts = (f"{name} for: {','.join(sorted(silent[name]))}" for name in sorted(silent))
    return "must specify " + "; ".join(parts)


def _pod(pod: Obj, now: datetime) -> Usage:
    if pods.is_terminal(pod) or _overdue(pod, now):
        return {}
    compute = _compute(_peak(pod, "requests"), _peak(pod, "limits"))
    return {"pods": "1", **compute}


def _overdue(pod: Obj, now: datetime) -> bool:
    """Whether a deleted pod should have been gone long ago: its node does not answer, others may have its share."""
    deleted, grace = (
        meta.get(pod, f"metadata.deletion{part}") for part in ("Timestamp", "GracePeriodSeconds")
    )
    if not deleted or grace is None:
        return False
    return meta.parse_time(deleted) + timedelta(seconds=grace) < now


def _compute(requests: Mapping[str, str], limits: Mapping[str, str]) -> Usage:
    used: Usage = {}
    for resource, amount in requests.items():
        used[f"requests.{resource}"] = amount
        if resource in _NATIVE or resource.startswith("hugepages-"):
            used[resource] = amount
    used.update({f"limits.{r}": amount for r, amount in limits.items() if r in _NATIVE})
    return used


def _peak(pod: Obj, side: str) -> Usage:
    """Containers and sidecars together, or the largest init step; then the overhead."""
    spec = pod.get("spec") or {}

    def of(container: Obj) -> Mapping[str, str]:
        return (container.get("resources") or {}).get(side) or {}

    running: Usage = {}
    peak: Usage = {}
    for container in spec.get("initContainers") or ():
        step = total((running, of(container)))
        peak = _larger(peak, step)
        if pods.is_sidecar(container):
            running = step
    running = total((running, *map(of, spec.get("containers") or ())))
    peak = _larger(running, peak)
    overhead = spec.get("overhead") or {}
    if side == "limits":  # overhead limits only what is limited
        overhead = {r: amount for r, amount in overhead.items() if r in peak}
    return total((peak, overhead))


def _larger(left: Mapping[str, str], right: Mapping[str, str]) -> Usage:
    return {
        **left,
        **{r: a for r, a in right.items() if quantity.parse(a) > quantity.parse(left.get(r, "0"))},
    }


def _service(service: Obj) -> Usage:
    spec = service.get("spec") or {}
    ports, type = spec.get("ports") or (), spec.get("type")
    node_ports, balancers = 0, 0
    if type == "NodePort":
        node_ports = len(ports)
    elif type == "LoadBalancer":
        balancers = 1
        always = spec.get("allocateLoadBalancerNodePorts") is not False
        node_ports = len(ports) if always else sum(1 for port in ports if port.get("nodePort"))
    return {
        "services": "1",
        "services.nodeports": str(node_ports),
        "services.loadbalancers": str(balancers),
    }


def _claim(claim: Obj) -> Usage:
    used = {"persistentvolumeclaims": "1"}
    storage = meta.get(claim, "spec.resources.requests.storage")
    if storage is not None:
        granted = meta.get(claim, "status.allocatedResources.storage", "0")
        used["requests.storage"] = max(str(storage), str(granted), key=quantity.parse)
    storage_class = meta.annotations(claim).get(_STORAGE_CLASS_ANNOTATION) or meta.get(
        claim, "spec.storageClassName"
    )
    if storage_class:
        used.update({f"{storage_class}{_STORAGE_SUFFIX}{name}": amount for name, amount in used.items()})
    return used
