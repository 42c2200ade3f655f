"""The statistics that ``/stats/summary`` and ``/metrics/resource`` answer, from what the runtime measured. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from kdist.agent.interfaces import ContainerUsage, PodUsage
from kdist.api.meta import Obj

# Answers whose CPU rates span less than this are not worth the noise.
_SHORTEST_NS = 500_000_000


@dataclass(frozen=True, slots=True)
class NodeUsage:
    """Use of the whole node at ``time_ns`` (Unix nanoseconds)."""

    time_ns: int
    boot_ns: int
    cpu_ns: int
    memory_usage: int
    memory_working_set: int
    memory_available: int
    memory_rss: int
    page_faults: int = 0
    major_page_faults: int = 0
    filesystem: Mapping[str, int] = field(default_factory=dict)
    """availableBytes, capacityBytes, usedBytes, inodesFree, inodes, inodesUsed."""
    network: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(slots=True)
class Rates:
    """CPU use per second, from two answers at least half a second apart."""

    _last: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """Key -> time, CPU nanoseconds and the rate then."""

    def nano_cores(self, key: str, time_ns: int, cpu_ns: int) -> int | None:
        """Billionths of a core that were used since the last answer; None the first time."""
        known = self._last.get(key)
        if known is None:
            self._last[key] = (time_ns, cpu_ns, -1)
            return None
        then, before, rate = known
        if time_ns - then >= _SHORTEST_NS:
            rate = max(0, (cpu_ns - before) * 1_000_000_000 // (time_ns - then))
            self._last[key] = (time_ns, cpu_ns, rate)
        return None if rate < 0 else rate

    def keep_only(self, keys: set[str]) -> None:
        """Forget what is gone."""
        for key in self._last.keys() - keys:
            del self._last[key]


def _time(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _known(values: Mapping[str, int | None]) -> Obj:
    return {name: value for name, value in values.items() if value is not None and value >= 0}


def _cpu(rates: Rates, key: str, time_ns: int, cpu_ns: int) -> Obj:
    rate = rates.nano_cores(key, time_ns, cpu_ns) if cpu_ns >= 0 else None
    values = {"usageNanoCores": rate, "usageCoreNanoSeconds": cpu_ns}
    return {"time": _time(time_ns), **_known(values)}


def _network(time_ns: int, interfaces: Mapping[str, Mapping[str, int]]) -> Obj:
    names = {
        "rx_bytes": "rxBytes",
        "rx_errors": "rxErrors",
        "tx_bytes": "txBytes",
        "tx_errors": "txErrors",
    }
    items = [
        {"name": name, **{names[k]: v for k, v in counters.items() if k in names}}
        for name, counters in sorted(interfaces.items())
    ]
    main = next((i for i in items if i["name"] == "eth0"), items[0] if items else {})
    return {"time": _time(time_ns), **main, "interfaces": items}


def node_summary(name: str, node: NodeUsage, rates: Rates) -> Obj:
    """The ``node`` part of the summary."""
    memory = {
        "availableBytes": node.memory_available,
        "usageBytes": node.memory_usage,
        "workingSetBytes": node.memory_working_set,
        "rssBytes": node.memory_rss,
        "pageFaults": node.page_faults,
        "majorPageFaults": node.major_page_faults,
    }
    moment = _time(node.time_ns)
    disk = {"time": moment, **node.filesystem}
    return {
        "nodeName": name,
        "startTime": _time(node.boot_ns),
        "cpu": _cpu(rates, "node", node.time_ns, node.cpu_ns),
        "memory": {"time": moment, **memory},
        "network": _network(node.time_ns, node.network),
        "fs": disk,
        "runtime": {"imageFs": disk},
    }


def _container(usage: ContainerUsage, key: str, rates: Rates) -> Obj:
    memory = {
        "usageBytes": usage.memory_usage,
        "workingSetBytes": usage.memory_working_set,
        "rssBytes": usage.memory_rss,
        "pageFaults": usage.page_faults,
        "majorPageFaults": usage.major_page_faults,
    }
    moment = _time(usage.time_ns)
    root = {"usedBytes": usage.fs_used_bytes, "inodesUsed": usage.fs_inodes_used}
    return {
        "name": usage.name,
        "startTime": _time(usage.started_at_ns),
        "cpu": _cpu(rates, key, usage.time_ns, usage.cpu_ns),
        "memory": {"time": moment, **_known(memory)},
        "rootfs": {"time": moment, **_known(root)},
    }


def _total(values: Iterable[int]) -> int | None:
    known = [v for v in values if v >= 0]
    return sum(known) if known else None


def pod_summary(pod: PodUsage, rates: Rates) -> Obj:
    """One item of the ``pods`` part."""
    answer: Obj = {
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "containers": [_container(c, f"{pod.uid}/{c.name}", rates) for c in pod.containers],
    }
    if not pod.containers:
        return answer
    newest = max(c.time_ns for c in pod.containers)
    answer["startTime"] = _time(min(c.started_at_ns for c in pod.containers))
    cpu = _total(c.cpu_ns for c in pod.containers)
    if cpu is not None:
        answer["cpu"] = _cpu(rates, pod.uid, newest, cpu)
    memory = {
        "usageBytes": _total(c.memory_usage for c in pod.containers),
        "workingSetBytes": _total(c.memory_working_set for c in pod.containers),
        "rssBytes": _total(c.memory_rss for c in pod.containers),
    }
    answer["memory"] = {"time": _time(newest), **_known(memory)}
    if pod.network:
        answer["network"] = _network(newest, pod.network)
    return answer


def summary(name: str, node: NodeUsage, pods: Iterable[PodUsage], rates: Rates) -> Obj:
    """The whole answer of ``/stats/summary``."""
    listed = list(pods)
    answer = {
        "node": node_summary(name, node, rates),
        "pods": [pod_summary(pod, rates) for pod in listed],
    }
    keys = {f"{p.uid}/{c.name}" for p in listed for c in p.containers}
    rates.keep_only({"node", *keys, *(p.uid for p in listed)})
    return answer


def resource_metrics(node: NodeUsage, pods: Iterable[PodUsage]) -> str:
    """The Prometheus text of ``/metrics/resource``, which the metrics API is fed from."""
    listed = list(pods)
    families = [
        ("node_cpu_usage_seconds_total", "counter", "CPU time of the node", [_sample("", node.cpu_ns / 1e9)]),
        (
            "node_memory_working_set_bytes",
            "gauge",
            "Memory of the node that cannot be given back",
            [_sample("", node.memory_working_set)],
        ),
        *_container_families(listed),
        *_pod_families(listed),
        ("resource_scrape_error", "gauge", "1 when something could not be read", [_sample("", 0)]),
    ]
    lines: list[str] = []
    for name, kind, help, samples in families:
        lines += [f"# HELP {name} {help}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{sample}" for sample in samples]
    return "\n".join(lines) + "\n"


_Family = tuple[str, str, str, list[str]]


def _sample(labels: str, value: float, time_ns: int = 0) -> str:
    stamp = f" {time_ns // 1_000_000}" if time_ns else ""
    return f"{labels} {value}{stamp}"


def _container_families(pods: list[PodUsage]) -> Iterator[_Family]:
    def samples(field_name: str, scale: float) -> list[str]:
        return [
            _sample(_labels(pod, c.name), getattr(c, field_name) / scale, c.time_ns)
            for pod in pods
            for c in pod.containers
            if getattr(c, field_name) >= 0
        ]

    yield "container_cpu_usage_seconds_total", "counter", "CPU time of a container", samples("cpu_ns", 1e9)
    yield (
        "container_memory_working_set_bytes",
        "gauge",
        "Memory of a container that cannot be given back",
        samples("memory_working_set", 1),
    )
    yield (
        "container_start_time_seconds",
        "gauge",
        "When a container started, Unix time",
        samples("started_at_ns", 1e9),
    )


def _pod_families(pods: list[PodUsage]) -> Iterator[_Family]:
    def samples(field_name: str, scale: float) -> list[str]:
        found = []
        for pod in pods:
            total = _total(getattr(c, field_name) for c in pod.containers)
            if total is not None:
                newest = max(c.time_ns for c in pod.containers)
                found.append(_sample(_labels(pod), total / scale, newest))
        return found

    yield "pod_cpu_usage_seconds_total", "counter", "CPU time of a pod", samples("cpu_ns", 1e9)
    yield (
        "pod_memory_working_set_bytes",
        "gauge",
        "Memory of a pod that cannot be given back",
        samples("memory_working_set", 1),
    )


def _labels(pod: PodUsage, container: str | None = None) -> str:
    first = "" if container is None else f'container="{container}",'
    return f'{{{first}namespace="{pod.namespace}",pod="{pod.name}"}}'
