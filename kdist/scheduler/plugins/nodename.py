"""A pod that names a node goes there or nowhere."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from kdist.scheduler.framework import Plugin, Rejection, State
from kdist.scheduler.podinfo import PodInfo


class NodeName(Plugin):
    """Rejects every other node."""

    name = "NodeName"

    def static_key(self, pod: PodInfo) -> Hashable:
        """The name itself."""
        return pod.node_name

    def filter(self, pod: PodInfo, state: State) -> Iterable[Rejection]:
        """All rows but the named one."""
        if pod.node_name:
            others = self.table.valid.copy()
            row = self.table.rows.get(pod.node_name)
            if row is not None:
                others[row] = False
            yield Rejection(others, "node(s) didn't match the requested node name", resolvable=False)
