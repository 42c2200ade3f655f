"""Which addresses and ports a Service leads to, read from its pods. Pure; shared by both controllers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kdist.api import meta, pods
from kdist.api.meta import Obj

LAST_CHANGE = "endpoints.kubernetes.io/last-change-trigger-time"
HEADLESS = "service.kubernetes.io/headless"


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """A port that a pod really has; ``number`` 0 stands for none (a headless Service without ports)."""

    name: str
    number: int
    protocol: str
    app_protocol: str = ""


def is_headless(service: Obj) -> bool:
    """Whether the Service has no address of its own."""
    return bool(meta.get(service, "spec.clusterIP") == "None")


def is_selecting(service: Obj) -> bool:
    """Whether its endpoints are ours to find: it has a selector and is no mere name."""
    return bool(meta.get(service, "spec.selector")) and meta.get(service, "spec.type") != "ExternalName"


def concerns(pod: Obj, *, terminating: bool) -> bool:
    """Whether the pod can be an endpoint: it has an address and a node and has not finished."""
    if pods.is_terminal(pod) or not meta.get(pod, "status.podIP") or not meta.get(pod, "spec.nodeName"):
        return False
    return terminating or not meta.is_deleting(pod)


def ports(service: Obj, pod: Obj) -> tuple[Port, ...]:
    """The Service's ports as this pod has them; a named port that the pod lacks is left out."""
    found = []
    for port in meta.get(service, "spec.ports", ()):
        number = target_port(pod, port)
        if number is not None:
            protocol = port.get("protocol") or "TCP"
            found.append(Port(port.get("name") or "", number, protocol, port.get("appProtocol") or ""))
    return tuple(sorted(found))


def target_port(pod: Obj, port: Obj) -> int | None:
    """The number of a Service port's target in the pod."""
    target = port.get("targetPort") or port.get("port")
    if isinstance(target, int):
        return target
    for container in _serving_containers(pod):
        for declared in container.get("ports") or ():
            same_protocol = (declared.get("protocol") or "TCP") == (port.get("protocol") or "TCP")
            if declared.get("name") == target and same_protocol:
                return int(declared["containerPort"])
    return None


def _serving_containers(pod: Obj) -> Iterator[Obj]:
    yield from pod["spec"].get("containers") or ()
    yield from (c for c in pod["spec"].get("initContainers") or () if pods.is_sidecar(c))


def addresses(pod: Obj, family: str) -> list[str]:
    """The pod's address of a family (IPv4 or IPv6)."""
    known = [entry["ip"] for entry in meta.get(pod, "status.podIPs", ())] or [pod["status"]["podIP"]]
    return [ip for ip in known if (":" in ip) == (family == "IPv6")][:1]


def families(service: Obj) -> list[str]:
    """The address families that the Service wants."""
    wanted = meta.get(service, "spec.ipFamilies")
    if wanted:
        return list(wanted)
    return ["IPv6" if ":" in (meta.get(service, "spec.clusterIP") or "") else "IPv4"]


def hostname(service: Obj, pod: Obj) -> str:
    """The pod's own name under a headless Service, if it has one there."""
    name = pod["spec"].get("hostname") or ""
    under = pod["spec"].get("subdomain") == meta.name(service)
    return name if under and meta.namespace(pod) == meta.namespace(service) else ""


def reference(pod: Obj) -> Obj:
    """The targetRef of an endpoint."""
    return {"kind": "Pod", "namespace": meta.namespace(pod), "name": meta.name(pod), "uid": meta.uid(pod)}


def trigger_time(service: Obj, members: Iterable[Obj]) -> str:
    """The moment of the last change that matters: the latest readiness change, or the Service's creation."""
    moments: list[str] = [meta.get(service, "metadata.creationTimestamp", "")]
    for pod in members:
        moments.append((pods.get_condition(pod, "Ready") or {}).get("lastTransitionTime") or "")
    return max(moments)


def copied_labels(service: Obj) -> dict[str, str]:
    """The Service's labels, and the mark of a headless one."""
    labels = dict(meta.labels(service))
    labels.pop(HEADLESS, None)
    return {**labels, HEADLESS: ""} if is_headless(service) else labels
