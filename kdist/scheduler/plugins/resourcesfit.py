"""What the pod requests must be free; the node with the most left over is preferred."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kdist.scheduler.framework import MAX_SCORE, Plugin, Rejection, Scores, State
from kdist.scheduler.nodetable import PODS, Rows
from kdist.scheduler.podinfo import PodInfo


class ResourcesFit(Plugin):
    """Counts CPU, memory, pods and every other resource the pod requests."""

    name = "NodeResourcesFit"

    def filter(self, pod: PodInfo, state: State) -> Iterable[Rejection]:
        """Per resource the rows with too little left."""
        promised = self._promised(pod)
        for resource, amount in pod.requests.items():
            column = self.table.column(resource)
            free = self.table.allocatable[:, column] - self.table.used[:, column]
            for row, other in promised:
                free[row] -= other.requests.get(resource, 0)
            reason = "Too many pods" if column == PODS else f"Insufficient {resource}"
            yield Rejection(free < amount, reason)

    def _promised(self, pod: PodInfo) -> list[tuple[int, PodInfo]]:
        """Room that preemption has made for other pods that are at least as important."""
        rows = self.table.rows
        return [
            (rows[node], other)
            for other, node in self.cache.nominated.values()
            if other.uid != pod.uid and other.priority >= pod.priority and node in rows
        ]

    def score(self, pod: PodInfo, state: State, rows: Rows) -> Scores:
        """Least allocated: the share of CPU and memory that stays free."""
        allocatable = self.table.allocatable[rows, :2]
        left = allocatable - self.table.nonzero[rows] - np.array(pod.nonzero)
        shares = np.where((allocatable > 0) & (left > 0), left * MAX_SCORE / np.maximum(allocatable, 1), 0.0)
        scores: Scores = shares.mean(axis=1)
        return scores
