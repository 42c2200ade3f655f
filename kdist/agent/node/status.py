"""The Node object of this host: what it registers with, and its status. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kdist.agent.node.machine import Machine
from kdist.agent.pods.host import RuntimeHealth
from kdist.api import features as gates
from kdist.api import quantity
from kdist.api.features import Features
from kdist.api.meta import Obj

# What is kept free before pods would be evicted: pods cannot count on it.
EVICTION_MEMORY = 100 << 20
MAX_IMAGES = 50


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """How this node presents itself; fixed while the agent runs."""

    name: str
    machine: Machine
    addresses: tuple[str, ...]
    port: int
    max_pods: int
    runtime_version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Obj, ...] = ()
    reserved: Mapping[str, int] = field(default_factory=dict)
    #: The API level that the node is of, with its feature gates.
    features: Features = gates.DEFAULT

    @property
    def version(self) -> str:
        """The agent's version, as nodes tell it."""
        return gates.release_of(self.features.level)


def parse_taint(text: str) -> Obj:
    """``KEY=VALUE:EFFECT`` or ``KEY:EFFECT``. Raises ValueError."""
    rest, _, effect = text.rpartition(":")
    key, _, value = rest.partition("=")
    if not key or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
        raise ValueError(f"taint {text!r} is not KEY=VALUE:EFFECT")
    return {"key": key, "effect": effect, **({"value": value} if value else {})}


def parse_pairs(texts: Iterable[str]) -> dict[str, str]:
    """``KEY=VALUE`` entries. Raises ValueError."""
    pairs = {}
    for text in texts:
        key, found, value = text.partition("=")
        if not key or not found:
            raise ValueError(f"{text!r} is not KEY=VALUE")
        pairs[key] = value
    return pairs


def capacity(spec: NodeSpec) -> dict[str, int]:
    """What the machine has: milli CPU, bytes, pods."""
    machine = spec.machine
    return {
        "cpu": machine.cpus * 1000,
        "memory": machine.memory,
        "ephemeral-storage": machine.storage,
        "pods": spec.max_pods,
        **machine.hugepages,
    }


def allocatable(spec: NodeSpec) -> dict[str, int]:
    """What pods may use of it."""
    amounts = capacity(spec)
    kept = {"memory": EVICTION_MEMORY, "ephemeral-storage": spec.machine.storage // 10}
    kept = {r: kept.get(r, 0) + spec.reserved.get(r, 0) for r in {*kept, *spec.reserved}}
    huge = sum(spec.machine.hugepages.values())
    kept["memory"] += huge  # Preallocated pages are nobody else's memory.
    return {r: max(0, amount - kept.get(r, 0)) for r, amount in amounts.items()}


def _quantities(amounts: Mapping[str, int]) -> dict[str, str]:
    texts = {}
    for resource, amount in amounts.items():
        if resource == "cpu":
            texts[resource] = str(amount // 1000) if amount % 1000 == 0 else f"{amount}m"
        elif resource == "memory":
            texts[resource] = f"{amount // 1024}Ki"
        else:
            texts[resource] = quantity.format(amount, "BinarySI" if "hugepages" in resource else "DecimalSI")
    return texts


def labels(spec: NodeSpec) -> dict[str, str]:
    """The labels of the Node; those of the configuration do not override the facts."""
    architecture = spec.machine.architecture
    return {
        **spec.labels,
        "kubernetes.io/hostname": spec.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": architecture,
    }


def new_node(spec: NodeSpec, status: Obj) -> Obj:
    """The Node to register."""
    node: Obj = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": spec.name,
            "labels": labels(spec),
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": {},
        "status": status,
    }
    if spec.taints:
        node["spec"]["taints"] = list(spec.taints)
    return node


def build(
    spec: NodeSpec, health: RuntimeHealth, now: str, old: Obj, images: list[Obj], volumes_in_use: list[str]
) -> Obj:
    """The whole status; ``old`` gives transition times and the conditions that others own."""
    machine = spec.machine
    return {
        "capacity": _quantities(capacity(spec)),
        "allocatable": _quantities(allocatable(spec)),
        "conditions": _conditions(health, now, old),
        "addresses": [
            *({"type": "InternalIP", "address": ip} for ip in spec.addresses),
            {"type": "Hostname", "address": spec.name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": spec.port}},
        "nodeInfo": {
            "machineID": machine.machine_id,
            "systemUUID": machine.system_uuid,
            "bootID": machine.boot_id,
            "kernelVersion": machine.kernel_version,
            "osImage": machine.os_image,
            "containerRuntimeVersion": spec.runtime_version,
            "kubeletVersion": spec.version,
            "kubeProxyVersion": "" if spec.features("DisableNodeKubeProxyVersion") else spec.version,
            "operatingSystem": "linux",
            "architecture": machine.architecture,
        },
        "images": images[:MAX_IMAGES],
        **({"volumesInUse": volumes_in_use} if volumes_in_use or old.get("volumesInUse") else {}),
    }


def _conditions(health: RuntimeHealth, now: str, old: Obj) -> list[Obj]:
    known = {c["type"]: c for c in old.get("conditions") or ()}
    wanted = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", *_ready(health)),
    ]
    conditions = []
    for kind, value, reason, message in wanted:
        before = known.get(kind) or {}
        changed = before.get("status") != value
        conditions.append(
            {
                "type": kind,
                "status": value,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": now if changed else before.get("lastTransitionTime", now),
            }
        )
    return conditions


def _ready(health: RuntimeHealth) -> tuple[str, str, str]:
    problems = []
    if not health.runtime_ready:
        problems.append(f"container runtime is down: {health.runtime_message}")
    if not health.network_ready:
        problems.append(f"container runtime network not ready: {health.network_message}")
    if problems:
        return "False", "KubeletNotReady", "[" + ", ".join(problems) + "]"
    return "True", "KubeletReady", "kubelet is posting ready status"


def same(left: Obj, right: Obj) -> bool:
    """Whether two statuses differ in nothing but heartbeat times."""
    return _without_heartbeat(left) == _without_heartbeat(right)


def _without_heartbeat(status: Obj) -> Obj:
    conditions = [
        {k: v for k, v in c.items() if k != "lastHeartbeatTime"} for c in status.get("conditions") or ()
    ]
    return {**status, "conditions": conditions}
