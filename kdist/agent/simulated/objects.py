"""The Node, its Lease and the statuses of pods on a simulated node. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from kdist import __version__
from kdist.api import meta
from kdist.api import pods as api_pods
from kdist.api.features import Features, release_of
from kdist.api.meta import Obj

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
_CAPACITY = {"cpu": "8", "memory": "32Gi", "ephemeral-storage": "100Gi", "pods": "110"}
_RUNTIME = "simulated"
# Pods 10.244.N.0/24 and nodes 192.0.2.N (a range for examples: nothing on any network answers there).
_FIRST_POD_RANGE = ipaddress.ip_network("10.244.0.0/24")
_FIRST_NODE = ipaddress.ip_address("192.0.2.1")


@dataclass(frozen=True, slots=True)
class SimulatedNode:
    """One node: its number (from 0) decides its name and addresses."""

    number: int

    @property
    def name(self) -> str:
        """The Node object's name."""
        return f"sim-{self.number + 1}"

    @property
    def address(self) -> str:
        """The node's own address."""
        return str(_FIRST_NODE + self.number)

    @property
    def pod_range(self) -> str:
        """The CIDR of its pods' addresses."""
        first = _FIRST_POD_RANGE.network_address + self.number * _FIRST_POD_RANGE.num_addresses
        return f"{first}/{_FIRST_POD_RANGE.prefixlen}"


def node(of: SimulatedNode, api_level: str) -> Obj:
    """The Node to register, without its status."""
    labels = {
        "kubernetes.io/hostname": of.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kdist.io/simulated": "true",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": of.name, "labels": labels},
        "spec": {"podCIDR": of.pod_range, "podCIDRs": [of.pod_range]},
        "status": node_status(of, api_level, meta.now()),
    }


def node_status(of: SimulatedNode, api_level: str, now: str) -> Obj:
    """A healthy node's status."""
    conditions = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID"),
        ("Ready", "True", "KubeletReady"),
    ]
    version = release_of(api_level)
    return {
        "capacity": dict(_CAPACITY),
        "allocatable": dict(_CAPACITY),
        "addresses": [
            {"type": "InternalIP", "address": of.address},
            {"type": "Hostname", "address": of.name},
        ],
        "conditions": [
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": "simulated",
                "lastHeartbeatTime": now,
                "lastTransitionTime": now,
            }
            for kind, status, reason in conditions
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "machineID": of.name,
            "systemUUID": of.name,
            "bootID": of.name,
            "kernelVersion": "none",
            "osImage": "simulated",
            "containerRuntimeVersion": f"{_RUNTIME}://{__version__}",
            "kubeletVersion": version,
            "kubeProxyVersion": "" if Features(api_level)("DisableNodeKubeProxyVersion") else version,
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
    }


def lease(name: str) -> Obj:
    """The node's Lease, renewed now."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": LEASE_NAMESPACE},
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": meta.now_micro(),
        },
    }


def free_address(pod_range: str, taken: Iterable[str]) -> str:
    """The first address of a range that no pod has; the first host is the node's bridge. LookupError: full."""
    used = set(taken)
    hosts = ipaddress.ip_network(pod_range).hosts()
    next(hosts)
    for address in hosts:
        if str(address) not in used:
            return str(address)
    raise LookupError(f"no address is left in {pod_range}")


def pod_status(pod: Obj, address: str, host_address: str, now: str) -> Obj:
    """The status of a pod that runs; times that the pod already has stay."""
    old = pod.get("status") or {}
    spec = pod.get("spec") or {}
    started = old.get("startTime") or now
    status: Obj = {
        **{k: old[k] for k in ("conditions", "qosClass", "nominatedNodeName") if k in old},
        "phase": "Running",
        "startTime": started,
        "hostIP": host_address,
        "hostIPs": [{"ip": host_address}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "containerStatuses": [_running(pod, c, now) for c in spec.get("containers") or ()],
    }
    init = spec.get("initContainers") or ()
    if init:
        status["initContainerStatuses"] = [
            _running(pod, c, now) if api_pods.is_sidecar(c) else _completed(pod, c, started) for c in init
        ]
    ephemeral = spec.get("ephemeralContainers") or ()
    if ephemeral:
        status["ephemeralContainerStatuses"] = [_running(pod, c, now) for c in ephemeral]
    holder: Obj = {"status": {**status, "conditions": [dict(c) for c in old.get("conditions") or ()]}}
    gates = spec.get("readinessGates") or ()
    ready = all(_is_true(pod, gate["conditionType"]) for gate in gates)
    for kind in ("PodReadyToStartContainers", "Initialized", "ContainersReady"):
        api_pods.set_condition(holder, kind, "True", now=now)
    api_pods.set_condition(
        holder, "Ready", "True" if ready else "False", "" if ready else "ReadinessGatesNotReady", now=now
    )
    result: Obj = holder["status"]
    return result


def stopped_status(pod: Obj, now: str) -> Obj:
    """What of the status changes when the pod is stopped; Jobs wait for it before they let the pod go."""
    started = meta.get(pod, "status.startTime", now)
    statuses = []
    for container in (pod.get("spec") or {}).get("containers") or ():
        identity = _container(pod, container)
        ended = _ended(identity, 137, "Error", _known_start(pod, container["name"], started), now)
        statuses.append({**identity, "ready": False, "started": False, "state": {"terminated": ended}})
    holder: Obj = {"status": {"conditions": [dict(c) for c in meta.get(pod, "status.conditions", ())]}}
    for kind in ("ContainersReady", "Ready"):
        api_pods.set_condition(holder, kind, "False", "PodFailed", now=now)
    return {"phase": "Failed", "containerStatuses": statuses, **holder["status"]}


def _is_true(pod: Obj, condition: str) -> bool:
    return (api_pods.get_condition(pod, condition) or {}).get("status") == "True"


def _known_start(pod: Obj, name: str, now: str) -> str:
    status = pod.get("status") or {}
    fields = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    for field in fields:
        for known in status.get(field) or ():
            if known["name"] == name:
                return str(meta.get(known, "state.running.startedAt") or now)
    return now


def _running(pod: Obj, container: Obj, now: str) -> Obj:
    state = {"running": {"startedAt": _known_start(pod, container["name"], now)}}
    running = {**_container(pod, container), "ready": True, "started": True, "state": state}
    if "resizePolicy" in container:  # what is asked for is there at once
        running["resources"] = container.get("resources") or {}
    return running


def _completed(pod: Obj, container: Obj, started: str) -> Obj:
    identity = _container(pod, container)
    ended = _ended(identity, 0, "Completed", started, started)
    return {**identity, "ready": True, "started": False, "state": {"terminated": ended}}


def _ended(identity: Obj, code: int, reason: str, started: str, finished: str) -> Obj:
    return {
        "containerID": identity["containerID"],
        "exitCode": code,
        "reason": reason,
        "startedAt": started,
        "finishedAt": finished,
    }


def _container(pod: Obj, container: Obj) -> Obj:
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": f"{_RUNTIME}://{container.get('image', '')}",
        "containerID": f"{_RUNTIME}://{meta.uid(pod)}/{container['name']}",
        "restartCount": 0,
        "lastState": {},
    }
