"""What the pod requests must be free; the node with the most left over is preferred."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kdist.scheduler.cache import Cache
from kdist.scheduler.framework import MAX_SCORE, Plugin, Rejection, State
from kdist.scheduler.nodetable import PODS, Rows, Scores
from kdist.scheduler.podinfo import PodInfo
from kdist.scheduler.scorecache import ScoreCache


class ResourcesFit(Plugin):
    """Counts CPU, memory, pods and every other resource the pod requests."""

    name = "NodeResourcesFit"

    def __init__(self, cache: Cache) -> None:
        super().__init__(cache)
        self._scores = ScoreCache(cache.table)

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
        wanted = np.array(pod.nonzero)

        def left_over(some: Rows) -> Scores:
            allocatable = self.table.allocatable[some, :2]
            left = np.maximum(allocatable - self.table.nonzero[some] - wanted, 0)
            shares: Scores = left * MAX_SCORE / np.maximum(allocatable, 1)
            return (shares[:, 0] + shares[:, 1]) / 2

        return self._scores.get(pod.nonzero, left_over)[rows]
