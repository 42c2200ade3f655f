"""Cordoned nodes take only pods that tolerate it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from kdist.api import pods
from kdist.scheduler.framework import Plugin, Rejection, State
from kdist.scheduler.podinfo import PodInfo

_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


class NodeUnschedulable(Plugin):
    """Rejects nodes with spec.unschedulable."""

    name = "NodeUnschedulable"

    def static_key(self, pod: PodInfo) -> Hashable:
        """Whether the pod tolerates it."""
        return pods.tolerates(pod.spec.get("tolerations"), _TAINT)

    def filter(self, pod: PodInfo, state: State) -> Iterable[Rejection]:
        """The cordoned rows."""
        if not self.static_key(pod):
            yield Rejection(self.table.unschedulable.copy(), "node(s) were unschedulable", resolvable=False)
