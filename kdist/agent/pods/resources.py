"""Requests and limits as cgroup settings. Pure; the numbers are those of the kernel's interfaces."""

from __future__ import annotations

from dataclasses import dataclass

from kdist.agent.pods import spec as specs
from kdist.api import pods as api_pods
from kdist.api import quantity
from kdist.api.meta import Obj

CPU_PERIOD = 100_000  # microseconds, the kernel's default
MIN_QUOTA = 1_000
MIN_SHARES = 2
MAX_SHARES = 262_144

# The kernel kills the highest score first; -997 outlives everything but the node's own daemons.
GUARANTEED_OOM_SCORE = -997
BEST_EFFORT_OOM_SCORE = 1000


@dataclass(frozen=True, slots=True)
class CgroupLimits:
    """What one cgroup may use; None means unlimited. ``cpu_shares`` is cgroup v1's scale."""

    cpu_shares: int = MIN_SHARES
    cpu_quota: int | None = None
    memory: int | None = None
    pids: int | None = None

    @property
    def cpu_weight(self) -> int:
        """The shares on cgroup v2's scale of 1 to 10000."""
        return 1 + (self.cpu_shares - MIN_SHARES) * 9999 // (MAX_SHARES - MIN_SHARES)


def shares(milli_cpu: int) -> int:
    """CPU shares of a request."""
    return min(MAX_SHARES, max(MIN_SHARES, milli_cpu * 1024 // 1000))


def quota(milli_cpu: int) -> int:
    """Microseconds per :data:`CPU_PERIOD` of a limit."""
    return max(MIN_QUOTA, milli_cpu * CPU_PERIOD // 1000)


def limit(container: Obj, resource: str) -> int | None:
    """A container's limit (milli CPU, bytes), None without one."""
    text = ((container.get("resources") or {}).get("limits") or {}).get(resource)
    return None if text is None else api_pods.amount(resource, text)


def request(container: Obj, resource: str) -> int:
    """A container's request; its limit stands in for a missing one, as the API defaults it."""
    text = ((container.get("resources") or {}).get("requests") or {}).get(resource)
    return (limit(container, resource) or 0) if text is None else api_pods.amount(resource, text)


def container_limits(container: Obj) -> CgroupLimits:
    """The limits of one container's cgroup."""
    cpu, memory = limit(container, "cpu"), limit(container, "memory")
    return CgroupLimits(
        cpu_shares=shares(request(container, "cpu")),
        cpu_quota=quota(cpu) if cpu else None,
        memory=memory or None,
    )


def pod_limits(pod: Obj, pids: int | None = None) -> CgroupLimits:
    """The limits of the pod's cgroup: the sums, where every container has a limit."""
    cpu, memory = _sum_of_limits(pod, "cpu"), _sum_of_limits(pod, "memory")
    return CgroupLimits(
        cpu_shares=shares(api_pods.requests(pod).get("cpu", 0)),
        cpu_quota=quota(cpu) if cpu else None,
        memory=memory,
        pids=pids,
    )


def _sum_of_limits(pod: Obj, resource: str) -> int | None:
    apps = [limit(c, resource) for c in specs.containers(pod)]
    inits = [limit(c, resource) for c in specs.init_containers(pod)]
    if not apps or not all(apps) or not all(inits):
        return None
    overhead = (specs.spec(pod).get("overhead") or {}).get(resource)
    extra = api_pods.amount(resource, overhead) if overhead else 0
    side = sum(limit(c, resource) or 0 for c in specs.init_containers(pod) if specs.is_sidecar(c))
    running = sum(amount or 0 for amount in apps) + side
    return max(running, *(amount or 0 for amount in inits), 0) + extra


def qos(pod: Obj) -> str:
    """The pod's QoS class, as the API says or as computed."""
    return (pod.get("status") or {}).get("qosClass") or api_pods.qos_class(pod)


def oom_score_adj(pod: Obj, container: Obj, memory_capacity: int) -> int:
    """Who is killed first when memory runs out: the more a container may exceed its request, the sooner."""
    if specs.is_critical(pod):
        return GUARANTEED_OOM_SCORE
    kind = qos(pod)
    if kind == "Guaranteed":
        return GUARANTEED_OOM_SCORE
    if kind == "BestEffort" or memory_capacity <= 0:
        return BEST_EFFORT_OOM_SCORE
    score = 1000 - 1000 * request(container, "memory") // memory_capacity
    # Never as safe as guaranteed pods, never as exposed as best-effort ones.
    return max(1000 + GUARANTEED_OOM_SCORE, min(score, BEST_EFFORT_OOM_SCORE - 1))


def hugepage_limits(container: Obj) -> dict[str, int]:
    """Page size as the kernel writes it (``2MB``) -> bytes."""
    found = {}
    for resource, text in ((container.get("resources") or {}).get("limits") or {}).items():
        if resource.startswith("hugepages-"):
            size = quantity.value(resource.removeprefix("hugepages-"))
            unit, name = (1 << 30, "GB") if size >= 1 << 30 else (1 << 20, "MB")
            found[f"{size // unit}{name}"] = quantity.value(text)
    return found
