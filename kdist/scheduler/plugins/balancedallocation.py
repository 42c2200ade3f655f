"""Nodes whose CPU and memory fill up evenly are preferred: nothing is stranded."""

from __future__ import annotations

import numpy as np

from kdist.scheduler.cache import Cache
from kdist.scheduler.framework import MAX_SCORE, Plugin, State
from kdist.scheduler.nodetable import Rows, Scores
from kdist.scheduler.podinfo import PodInfo
from kdist.scheduler.scorecache import ScoreCache


class BalancedAllocation(Plugin):
    """The closer the requested shares of CPU and memory, the better."""

    name = "NodeResourcesBalancedAllocation"

    def __init__(self, cache: Cache) -> None:
        super().__init__(cache)
        self._scores = ScoreCache(cache.table)

    def score(self, pod: PodInfo, state: State, rows: Rows) -> Scores | None:
        """100 for equal shares, less by half their distance."""
        kind = (pod.requests.get("cpu", 0), pod.requests.get("memory", 0))
        if not any(kind):
            return None
        wanted = np.array(kind)

        def balance(some: Rows) -> Scores:
            allocatable = np.maximum(self.table.allocatable[some, :2], 1)
            shares: Scores = np.minimum((self.table.used[some, :2] + wanted) / allocatable, 1.0)
            return (1 - np.abs(shares[:, 0] - shares[:, 1]) / 2) * MAX_SCORE

        return self._scores.get(kind, balance)[rows]
