"""What pod workers share: the runtime, volumes, images, and facts about this node."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kdist.agent.cgroups import CgroupDriver
from kdist.agent.cluster import Cluster
from kdist.agent.cri.client import CriClient
from kdist.agent.images import Images
from kdist.agent.interfaces import VolumeManager
from kdist.agent.pods import names, paths
from kdist.agent.pods.cache import RuntimeCache
from kdist.agent.pods.env import EnvFacts
from kdist.agent.probes.handlers import Handlers
from kdist.agent.probes.prober import Prober
from kdist.api.meta import Obj

SANDBOXES_AT_ONCE = 4


class Recorder(Protocol):
    """Records events on objects."""

    def event(self, obj: Obj, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Note an event; never blocks."""
        ...


class Publisher(Protocol):
    """Takes pod statuses to the API."""

    def publish(self, pod: Obj) -> None:
        """``pod["status"]`` is the pod's status now."""
        ...

    def finish(self, pod: Obj) -> None:
        """Nothing of the pod is left on the node: after its last status its deletion may complete."""
        ...


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What does not change while the agent runs."""

    name: str
    host_ips: tuple[str, ...]
    memory_capacity: int
    allocatable: dict[str, int]
    names: names.ClusterNames
    root: Path
    logs: Path = paths.LOGS
    links: Path = paths.LINKS
    unified_cgroup: bool = False
    pids_limit: int | None = None

    @property
    def seccomp_root(self) -> Path:
        """Where localhost seccomp profiles are."""
        return self.root / "seccomp"


@dataclass(slots=True)
class RuntimeHealth:
    """The runtime's own conditions; :attr:`network_ready` gates pods with a network of their own."""

    runtime_ready: bool = False
    network_ready: bool = False
    runtime_message: str = "the container runtime has not answered yet"
    network_message: str = "the container runtime has not answered yet"


@dataclass(slots=True)
class Host:
    """Everything a worker calls."""

    cri: CriClient
    cache: RuntimeCache
    images: Images
    volumes: VolumeManager
    cluster: Cluster
    cgroups: CgroupDriver
    handlers: Handlers
    prober: Prober
    events: Recorder
    publisher: Publisher
    node: NodeFacts
    health: RuntimeHealth = field(default_factory=RuntimeHealth)
    clock: Callable[[], float] = time.time
    # Making and stopping sandboxes keeps several processes busy each. A few at a time, so that a pod with a
    # sandbox gets its containers before the sandboxes of all others are made.
    making: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SANDBOXES_AT_ONCE))
    stopping: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SANDBOXES_AT_ONCE))

    def paths(self, uid: str) -> paths.PodPaths:
        """The pod's directories."""
        return paths.PodPaths(self.node.root, uid)

    async def env_facts(self, pod: Obj, pod_ips: tuple[str, ...]) -> EnvFacts:
        """What environment variables may refer to."""
        return EnvFacts(
            node_name=self.node.name,
            host_ips=self.node.host_ips,
            pod_ips=pod_ips,
            allocatable=self.node.allocatable,
            services=await self.cluster.services(pod),
        )

    def record(self, pod: Obj, container: str, type: str, reason: str, message: str) -> None:
        """An event on a pod, or on one container of it."""
        kind = "initContainers" if _is_init(pod, container) else "containers"
        path = f"spec.{kind}{{{container}}}" if container else ""
        self.events.event(pod, type, reason, message, field_path=path)


def _is_init(pod: Obj, name: str) -> bool:
    inits = (pod.get("spec") or {}).get("initContainers") or ()
    return any(c["name"] == name for c in inits)
