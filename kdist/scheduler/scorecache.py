"""Scores kept from pod to pod: only nodes that changed since are scored anew.

Pods of one kind (equal requests) score a node alike, and placing a pod changes one node. So the second pod of
a ReplicaSet costs a handful of rows instead of all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np

from kdist.scheduler.nodetable import NodeTable, Rows, Scores

# Kinds of pods whose scores are kept at the same time.
MAX_KINDS = 64


class ScoreCache:
    """One plug-in's scores over all rows, per kind of pod."""

    def __init__(self, table: NodeTable) -> None:
        self._table = table
        self._kept: OrderedDict[Hashable, tuple[tuple[int, int], int, Scores]] = OrderedDict()

    def get(self, kind: Hashable, score: Callable[[Rows], Scores]) -> Scores:
        """The scores of all rows; ``score`` computes those of some."""
        epoch, position = self._table.epoch, len(self._table.touched)
        kept = self._kept.get(kind)
        if kept is not None and kept[0] == epoch:
            scores = kept[2]
            changed = np.unique(np.array(self._table.touched[kept[1] : position], np.intp))
            if len(changed):
                scores[changed] = score(changed)
        else:
            scores = score(np.arange(len(self._table), dtype=np.intp))
        self._kept[kind] = (epoch, position, scores)
        self._kept.move_to_end(kind)
        if len(self._kept) > MAX_KINDS:
            self._kept.popitem(last=False)
        return scores
