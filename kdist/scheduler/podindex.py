"""Which pods lie where: counts per node of the pods that a selector or an affinity term means.

Counters are made when a plug-in first asks and kept up to date afterwards, so that scheduling the hundredth
pod of a Deployment costs no walk over the pods of the cluster. Affinity terms of pods are counted always:
they concern pods that are yet to come.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from kdist.scheduler.nodetable import Ids, NodeTable
from kdist.scheduler.podinfo import PodInfo
from kdist.scheduler.terms import AffinityTerm

# Selectors counted at the same time; the least recently used one is forgotten.
MAX_COUNTERS = 256
Matches = Callable[[PodInfo], bool]
K = TypeVar("K", bound=Hashable)


class _Counts:
    __slots__ = ("per_row",)

    def __init__(self, capacity: int) -> None:
        self.per_row: Ids = np.zeros(capacity, np.int32)

    def add(self, row: int, amount: int) -> None:
        if row >= len(self.per_row):
            self.per_row = np.pad(self.per_row, (0, row + 1))
        self.per_row[row] += amount

    def rows(self, size: int) -> Ids:
        if len(self.per_row) < size:
            self.per_row = np.pad(self.per_row, (0, size - len(self.per_row)))
        return self.per_row[:size]


class _Counter(_Counts):
    __slots__ = ("matches", "namespaces")

    def __init__(self, capacity: int, matches: Matches, namespaces: frozenset[str] | None) -> None:
        super().__init__(capacity)
        self.matches, self.namespaces = matches, namespaces

    def concerns(self, pod: PodInfo) -> bool:
        return (self.namespaces is None or pod.namespace in self.namespaces) and self.matches(pod)


class PodIndex:
    """Told by the cache of every pod that comes to a row or leaves it."""

    def __init__(self, table: NodeTable, pods_on: Callable[[], Iterable[tuple[int, PodInfo]]]) -> None:
        self._table, self._pods_on = table, pods_on
        self._counters: OrderedDict[Hashable, _Counter] = OrderedDict()
        self._anti: dict[AffinityTerm, _Counts] = {}
        self._affinity: dict[AffinityTerm, _Counts] = {}
        self._preferred: dict[tuple[int, AffinityTerm], _Counts] = {}

    def count(self, key: Hashable, matches: Matches, namespaces: frozenset[str] | None) -> Ids:
        """Pods per row that match; ``key`` names the question, ``namespaces`` None means all."""
        counter = self._counters.get(key)
        if counter is None:
            counter = _Counter(self._table.capacity, matches, namespaces)
            for row, pod in self._pods_on():
                if counter.concerns(pod):
                    counter.add(row, 1)
            self._counters[key] = counter
            if len(self._counters) > MAX_COUNTERS:
                self._counters.popitem(last=False)
        else:
            self._counters.move_to_end(key)
        return counter.rows(len(self._table))

    def anti_affinity(self) -> Iterator[tuple[AffinityTerm, Ids]]:
        """The required anti-affinity terms of all pods, with the pods per row that have them."""
        return self._rows(self._anti)

    def affinity(self) -> Iterator[tuple[AffinityTerm, Ids]]:
        """The required affinity terms of all pods."""
        return self._rows(self._affinity)

    def preferred(self) -> Iterator[tuple[tuple[int, AffinityTerm], Ids]]:
        """The weighted preferences of all pods; avoidance has a negative weight."""
        return self._rows(self._preferred)

    def add(self, pod: PodInfo, row: int, sign: int = 1) -> None:
        """Count a pod on a row, or with ``sign=-1`` count it no longer."""
        for counter in self._counters.values():
            if counter.concerns(pod):
                counter.add(row, sign)
        for term in pod.anti_affinity:
            self._add_term(self._anti, term, row, sign)
        for term in pod.affinity:
            self._add_term(self._affinity, term, row, sign)
        for weighted in pod.preferred:
            self._add_term(self._preferred, weighted, row, sign)

    def namespaces_changed(self) -> None:
        """Forget the counters: some of them may have asked for labels of namespaces."""
        self._counters.clear()

    def _rows(self, counts: dict[K, _Counts]) -> Iterator[tuple[K, Ids]]:
        size = len(self._table)
        return ((key, found.rows(size)) for key, found in counts.items())

    def _add_term(self, counts: dict[K, _Counts], key: K, row: int, sign: int) -> None:
        found = counts.get(key)
        if found is None:
            found = counts[key] = _Counts(self._table.capacity)
        found.add(row, sign)
        if sign < 0 and not found.per_row.any():
            del counts[key]
