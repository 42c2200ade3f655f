"""The Prometheus text of ``/metrics/cadvisor``: containers under the names that dashboards and alerts ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kdist.agent.interfaces import PodUsage


@dataclass(frozen=True, slots=True)
class Machine:
    """What the node has: CPUs and bytes of memory."""

    cpus: int
    memory: int


@dataclass(frozen=True, slots=True)
class _Series:
    """One metric of containers: where :class:`ContainerUsage` has it, and how many of that make one."""

    name: str
    kind: str
    help: str
    field: str
    scale: float = 1
    labels: str = ""


_CONTAINERS = (
    _Series("container_cpu_usage_seconds_total", "counter", "CPU time", "cpu_ns", 1e9, 'cpu="total",'),
    _Series("container_memory_usage_bytes", "gauge", "Memory, caches included", "memory_usage"),
    _Series(
        "container_memory_working_set_bytes",
        "gauge",
        "Memory that cannot be given back",
        "memory_working_set",
    ),
    _Series("container_memory_rss", "gauge", "Anonymous memory", "memory_rss"),
    _Series("container_fs_usage_bytes", "gauge", "Use of the writable layer", "fs_used_bytes"),
    _Series("container_start_time_seconds", "gauge", "Start, Unix time", "started_at_ns", 1e9),
)
# Metric -> the key in a pod's network use.
_NETWORK = {
    "container_network_receive_bytes_total": "rx_bytes",
    "container_network_receive_errors_total": "rx_errors",
    "container_network_transmit_bytes_total": "tx_bytes",
    "container_network_transmit_errors_total": "tx_errors",
}


def metrics(machine: Machine, pods: Iterable[PodUsage]) -> str:
    """The whole text."""
    listed = list(pods)
    lines = [
        *_head("machine_cpu_cores", "gauge", "CPUs of the node"),
        f"machine_cpu_cores {machine.cpus}",
        *_head("machine_memory_bytes", "gauge", "Memory of the node"),
        f"machine_memory_bytes {machine.memory}",
    ]
    for series in _CONTAINERS:
        lines += [*_head(series.name, series.kind, series.help), *_of_containers(series, listed)]
    for name, key in _NETWORK.items():
        lines += [*_head(name, "counter", "Traffic of a pod"), *_of_network(name, key, listed)]
    return "\n".join(lines) + "\n"


def _head(name: str, kind: str, help: str) -> list[str]:
    return [f"# HELP {name} {help}", f"# TYPE {name} {kind}"]


def _of_containers(series: _Series, pods: list[PodUsage]) -> Iterator[str]:
    for pod in pods:
        for container in pod.containers:
            value = getattr(container, series.field)
            if value >= 0:  # the runtime knows it
                labels = f'container="{container.name}",{series.labels}{_pod(pod)}'
                yield f"{series.name}{{{labels}}} {value / series.scale} {container.time_ns // 1_000_000}"


def _of_network(name: str, key: str, pods: list[PodUsage]) -> Iterator[str]:
    for pod in pods:
        for interface, counters in pod.network.items():
            if key in counters:
                yield f'{name}{{interface="{interface}",{_pod(pod)}}} {counters[key]}'


def _pod(pod: PodUsage) -> str:
    return f'id="{pod.cgroup_parent}",namespace="{pod.namespace}",pod="{pod.name}"'
