"""Nodes whose CPU and memory fill up evenly are preferred: nothing is stranded."""

from __future__ import annotations

import numpy as np

from kdist.scheduler.framework import MAX_SCORE, Plugin, Scores, State
from kdist.scheduler.nodetable import Rows
from kdist.scheduler.podinfo import PodInfo


class BalancedAllocation(Plugin):
    """The closer the requested shares of CPU and memory, the better."""

    name = "NodeResourcesBalancedAllocation"

    def score(self, pod: PodInfo, state: State, rows: Rows) -> Scores | None:
        """100 for equal shares, less by half their distance."""
        wanted = np.array([pod.requests.get("cpu", 0), pod.requests.get("memory", 0)])
        if not wanted.any():
            return None
        allocatable = np.maximum(self.table.allocatable[rows, :2], 1)
        shares = np.minimum((self.table.used[rows, :2] + wanted) / allocatable, 1.0)
        scores: Scores = (1 - np.abs(shares[:, 0] - shares[:, 1]) / 2) * MAX_SCORE
        return scores
