"""Which pods nobody else will delete. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kdist.api import meta, pods
from kdist.api.meta import Obj

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def terminated(all_pods: Iterable[Obj], threshold: int) -> list[Obj]:
    """Finished pods beyond the threshold, the oldest; evicted ones go first."""
    if threshold <= 0:
        return []
    finished = [p for p in all_pods if pods.is_terminal(p) and not meta.is_deleting(p)]
    finished.sort(key=lambda p: (not _is_evicted(p), meta.get(p, "metadata.creationTimestamp", "")))
    return finished[: max(0, len(finished) - threshold)]


def _is_evicted(pod: Obj) -> bool:
    return bool(meta.get(pod, "status.reason") == "Evicted")


def orphaned(all_pods: Iterable[Obj], nodes: set[str]) -> dict[str, list[Obj]]:
    """Pods by the node that is not there (any more)."""
    lost: dict[str, list[Obj]] = {}
    for pod in all_pods:
        node = meta.get(pod, "spec.nodeName", "")
        if node and node not in nodes:
            lost.setdefault(node, []).append(pod)
    return lost


def unscheduled_terminating(all_pods: Iterable[Obj]) -> list[Obj]:
    """Pods being deleted that never had a node, hence no agent to finish them."""
    return [p for p in all_pods if meta.is_deleting(p) and not meta.get(p, "spec.nodeName")]


def out_of_service(all_pods: Iterable[Obj], nodes: Iterable[Obj]) -> list[Obj]:
    """Pods being deleted on nodes that are not ready and that an operator declared dead."""
    dead = {
        meta.name(n)
        for n in nodes
        if not pods.is_ready(n) and any(t["key"] == OUT_OF_SERVICE for t in meta.get(n, "spec.taints", ()))
    }
    return [p for p in all_pods if meta.is_deleting(p) and meta.get(p, "spec.nodeName") in dead]
