"""The cluster as the scheduler believes it to be: nodes, the pods on them, and pods it has just placed.

A placed pod counts at once (it is *assumed*), long before the API server says that it is bound; when binding
fails it is forgotten again. Pods of nodes that are not known (yet) wait until the node comes.
"""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api.meta import Obj
from kdist.scheduler.nodetable import NodeTable
from kdist.scheduler.podindex import PodIndex
from kdist.scheduler.podinfo import PodInfo


class Cache:
    """Nodes and pods. ``table`` and ``index`` are always in step with ``pods``."""

    def __init__(self) -> None:
        self.table = NodeTable()
        self.index = PodIndex(self.table, self._placed)
        self.nodes: dict[str, Obj] = {}
        # Pods that have claimed room on a node for when preemption has made it: pod and node name by uid.
        self.nominated: dict[str, tuple[PodInfo, str]] = {}
        self._pods: dict[str, tuple[PodInfo, str]] = {}
        self._on_node: dict[str, dict[str, PodInfo]] = {}
        self._assumed: set[str] = set()

    def __len__(self) -> int:
        """The number of placed pods, assumed ones included."""
        return len(self._pods)

    @property
    def assumed(self) -> int:
        """How many pods are placed but not known to be bound."""
        return len(self._assumed)

    # ----- nodes

    def set_node(self, node: Obj) -> bool:
        """Add or update a node; whether anything that scheduling looks at changed."""
        name = node["metadata"]["name"]
        new = name not in self.table.rows
        self.nodes[name] = node
        changed = self.table.set(node)
        if new:
            for pod in self._on_node.get(name, {}).values():
                self._count(pod, self.table.rows[name], 1)
        return changed

    def remove_node(self, name: str) -> None:
        """Forget a node; its pods stay known until they are deleted themselves."""
        self.nodes.pop(name, None)
        row = self.table.rows.get(name)
        if row is None:
            return
        for pod in self._on_node.get(name, {}).values():
            self._count(pod, row, -1)
        self.table.remove(name)

    def pods_on(self, node: str) -> list[PodInfo]:
        """The pods of a node."""
        return list(self._on_node.get(node, {}).values())

    # ----- pods

    def assume(self, pod: PodInfo, node: str) -> None:
        """Count a pod on the node it was placed on."""
        self.set_pod(pod, node)
        self._assumed.add(pod.uid)

    def forget(self, pod: PodInfo) -> None:
        """Take back an assumption that did not come true."""
        if pod.uid in self._assumed:
            self.remove_pod(pod.uid)

    def set_pod(self, pod: PodInfo, node: str) -> None:
        """Add or replace a pod on a node; what the API server says overrides an assumption."""
        self.remove_pod(pod.uid)
        self._pods[pod.uid] = (pod, node)
        self._on_node.setdefault(node, {})[pod.uid] = pod
        row = self.table.rows.get(node)
        if row is not None:
            self._count(pod, row, 1)

    def remove_pod(self, uid: str) -> bool:
        """Forget a pod; whether it was known."""
        self._assumed.discard(uid)
        known = self._pods.pop(uid, None)
        if known is None:
            return False
        pod, node = known
        self._on_node[node].pop(uid)
        if not self._on_node[node]:
            del self._on_node[node]
        row = self.table.rows.get(node)
        if row is not None:
            self._count(pod, row, -1)
        return True

    def node_of(self, uid: str) -> str | None:
        """The node a pod is on, or None."""
        known = self._pods.get(uid)
        return known[1] if known else None

    def is_assumed(self, uid: str) -> bool:
        """Whether the pod is placed but not known to be bound."""
        return uid in self._assumed

    def lift(self, pod: PodInfo, node: str) -> None:
        """Play that a pod of this node were not there, until :meth:`put_back`."""
        self._count(pod, self.table.rows[node], -1)

    def put_back(self, pod: PodInfo, node: str) -> None:
        """End what :meth:`lift` began."""
        self._count(pod, self.table.rows[node], 1)

    def _count(self, pod: PodInfo, row: int, sign: int) -> None:
        self.table.use(row, pod.requests, pod.nonzero, sign)
        self.index.add(pod, row, sign)

    def _placed(self) -> Iterator[tuple[int, PodInfo]]:
        rows = self.table.rows
        for name, placed in self._on_node.items():
            row = rows.get(name)
            if row is not None:
                for pod in placed.values():
                    yield row, pod
