"""Node selectors and node affinity, required and preferred."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np

from kdist.api.meta import Obj
from kdist.scheduler.framework import Plugin, Rejection, State, normalize
from kdist.scheduler.nodeselection import one_term, required_rows
from kdist.scheduler.nodetable import Rows, Scores
from kdist.scheduler.podinfo import PREFERRED, PodInfo


class NodeAffinity(Plugin):
    """Judges by labels and names."""

    name = "NodeAffinity"
    weight = 2

    def static_key(self, pod: PodInfo) -> Hashable:
        """Selector and affinity."""
        return pod.placement_key()

    def filter(self, pod: PodInfo, state: State) -> Iterable[Rejection]:
        """The rows that are not allowed."""
        reason = "node(s) didn't match Pod's node affinity/selector"
        yield Rejection(self.table.valid & ~required_rows(self.table, pod.spec), reason, resolvable=False)

    def score(self, pod: PodInfo, state: State, rows: Rows) -> Scores | None:
        """The weights of the preferences a node satisfies."""
        affinity: Obj = (pod.spec.get("affinity") or {}).get("nodeAffinity") or {}
        preferences = affinity.get(PREFERRED)
        if not preferences:
            return None
        total = np.zeros(len(rows))
        for preference in preferences:
            total += preference["weight"] * one_term(self.table, preference["preference"])[rows]
        return normalize(total)
