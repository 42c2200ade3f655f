"""A pod as scheduling sees it: parsed once, when it comes in, and never changed."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import orjson

from kdist.api import meta, pods
from kdist.api.meta import Obj
from kdist.scheduler.terms import AffinityTerm, SpreadConstraint, affinity_terms, spread_constraints

# What a container that requests nothing counts for in scores (never in fits), so that nodes full of such
# pods do not look empty: 0.1 CPU and 200 MB, as upstream.
DEFAULT_MILLI_CPU, DEFAULT_MEMORY = 100, 200 * 1024 * 1024

# (host IP, protocol, port)
HostPort = tuple[str, str, int]


@dataclass(slots=True, eq=False)
class PodInfo:
    """The parsed pod; ``obj`` is the object as the informer has it."""

    obj: Obj
    key: str
    uid: str
    namespace: str
    labels: dict[str, str]
    node_name: str
    priority: int
    requests: dict[str, int]
    nonzero: tuple[int, int]
    ports: frozenset[HostPort]
    affinity: tuple[AffinityTerm, ...]
    anti_affinity: tuple[AffinityTerm, ...]
    preferred: tuple[tuple[int, AffinityTerm], ...]
    spread: tuple[SpreadConstraint, ...]
    deleting: bool

    @classmethod
    def parse(cls, pod: Obj) -> PodInfo:
        """Read everything the plug-ins ask for. Raises SelectorError when a selector cannot be read."""
        spec, namespace = pod.get("spec") or {}, meta.namespace(pod)
        needs = pods.requests(pod)
        own = spec.get("affinity") or {}
        towards, away = own.get("podAffinity") or {}, own.get("podAntiAffinity") or {}
        labels = meta.labels(pod)
        return cls(
            obj=pod,
            key=meta.key(pod),
            uid=meta.uid(pod),
            namespace=namespace,
            labels=labels,
            node_name=spec.get("nodeName") or "",
            priority=spec.get("priority") or 0,
            requests={**{r: n for r, n in needs.items() if n}, "pods": 1},
            nonzero=_nonzero(spec, needs),
            ports=frozenset(_host_ports(spec)),
            affinity=affinity_terms(towards.get(REQUIRED), namespace, labels),
            anti_affinity=affinity_terms(away.get(REQUIRED), namespace, labels),
            preferred=(
                *_preferred(towards.get(PREFERRED), namespace, labels, 1),
                *_preferred(away.get(PREFERRED), namespace, labels, -1),
            ),
            spread=spread_constraints(spec.get("topologySpreadConstraints"), labels),
            deleting=meta.is_deleting(pod),
        )

    @property
    def spec(self) -> Obj:
        """The pod's spec."""
        spec: Obj = self.obj["spec"]
        return spec

    @property
    def name(self) -> str:
        """The pod's name."""
        return meta.name(self.obj)

    def placement_key(self) -> Hashable:
        """Equal for pods that the same nodes suit as far as labels, taints and names go."""
        spec = self.spec
        node_affinity = (spec.get("affinity") or {}).get("nodeAffinity")
        return orjson.dumps([spec.get("nodeSelector"), node_affinity, spec.get("tolerations")])


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def _preferred(
    weighted: list[Obj] | None, namespace: str, labels: dict[str, str], sign: int
) -> Iterator[tuple[int, AffinityTerm]]:
    for item in weighted or ():
        (term,) = affinity_terms([item["podAffinityTerm"]], namespace, labels)
        yield sign * int(item["weight"]), term


def _host_ports(spec: Obj) -> Iterator[HostPort]:
    sidecars = [c for c in spec.get("initContainers") or () if pods.is_sidecar(c)]
    for container in (*sidecars, *(spec.get("containers") or ())):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"]


def _nonzero(spec: Obj, needs: dict[str, int]) -> tuple[int, int]:
    """CPU and memory for scoring: containers without a request count with the defaults."""
    cpu, memory = needs.get("cpu", 0), needs.get("memory", 0)
    for container in spec.get("containers") or ():
        requests = (container.get("resources") or {}).get("requests") or {}
        cpu += 0 if "cpu" in requests else DEFAULT_MILLI_CPU
        memory += 0 if "memory" in requests else DEFAULT_MEMORY
    return cpu, memory
