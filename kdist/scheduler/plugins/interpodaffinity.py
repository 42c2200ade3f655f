"""Pods that want to be near other pods, or away from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from kdist.api.kinds import NAMESPACES
from kdist.scheduler.cache import Cache
from kdist.scheduler.framework import MAX_SCORE, Plugin, Rejection, State
from kdist.scheduler.listers import Listers
from kdist.scheduler.nodetable import Bools, Ids, Ints, Rows, Scores
from kdist.scheduler.podinfo import PodInfo
from kdist.scheduler.terms import AffinityTerm

# What a required affinity of a pod that is there already counts as a preference to be joined.
HARD_AFFINITY_WEIGHT = 1


class InterPodAffinity(Plugin):
    """Counts matching pods per topology domain."""

    name = "InterPodAffinity"
    weight = 2

    def __init__(self, cache: Cache, listers: Listers) -> None:
        super().__init__(cache)
        self._listers = listers

    def filter(self, pod: PodInfo, state: State) -> Iterable[Rejection]:
        """Required terms of the pod, then those of the pods that are there; a row counts for the first."""
        told = np.zeros(len(self.table), bool)
        if pod.affinity:
            told = self._unmet_affinity(pod)
            yield Rejection(told, "node(s) didn't match pod affinity rules", resolvable=False)
        if pod.anti_affinity:
            near = np.zeros(len(self.table), bool)
            for term in pod.anti_affinity:
                near |= self._per_domain(term.topology_key, self._matching((term,))) > 0
            yield Rejection(near & ~told, "node(s) didn't match pod anti-affinity rules")
            told = told | near
        rows = self._kept_away(pod)
        if rows is not None:
            yield Rejection(rows & ~told, "node(s) didn't satisfy existing pods anti-affinity rules")

    def _unmet_affinity(self, pod: PodInfo) -> Bools:
        counts = self._matching(pod.affinity)
        missing_key, unmet = np.zeros(len(self.table), bool), np.zeros(len(self.table), bool)
        for term in pod.affinity:
            missing_key |= self.table.label(term.topology_key) == 0
            unmet |= self._per_domain(term.topology_key, counts) == 0
        # The first pod of a group that wants to be near itself may go anywhere.
        if not counts.any() and all(self._means(t, pod) for t in pod.affinity):
            return missing_key
        return unmet | missing_key

    def _kept_away(self, pod: PodInfo) -> Bools | None:
        rows: Bools | None = None
        for term, counts in self.cache.index.anti_affinity():
            if self._means(term, pod):
                hit = self._per_domain(term.topology_key, counts) > 0
                rows = hit if rows is None else rows | hit
        return rows

    def score(self, pod: PodInfo, state: State, rows: Rows) -> Scores | None:
        """The weights of the preferences on both sides, scaled between the worst and the best node."""
        total = np.zeros(len(self.table))
        for weight, counts, key in self._preferences(pod):
            total += weight * self._per_domain(key, counts)
        found = total[rows]
        least, most = found.min(), found.max()
        if least == most:
            return None
        scaled: Scores = (found - least) * MAX_SCORE / (most - least)
        return scaled

    def _preferences(self, pod: PodInfo) -> Iterator[tuple[int, Ids, str]]:
        for weight, term in pod.preferred:
            yield weight, self._matching((term,)), term.topology_key
        for (weight, term), counts in self.cache.index.preferred():
            if self._means(term, pod):
                yield weight, counts, term.topology_key
        for term, counts in self.cache.index.affinity():
            if self._means(term, pod):
                yield HARD_AFFINITY_WEIGHT, counts, term.topology_key

    def _matching(self, terms: tuple[AffinityTerm, ...]) -> Ids:
        """Per row the pods that all the terms mean."""
        return self.cache.index.count(
            ("affinity", terms), lambda other: all(self._means(term, other) for term in terms), None
        )

    def _means(self, term: AffinityTerm, pod: PodInfo) -> bool:
        labels: Mapping[str, str] = {}
        if term.namespace_selector is not None:
            labels = self._listers.namespace_labels(pod.namespace, NAMESPACES)
        return term.matches(pod.namespace, pod.labels, labels)

    def _per_domain(self, key: str, counts: Ids) -> Ints:
        """Per row the sum over its topology domain; 0 where the node is in none."""
        domains = self.table.label(key)
        sums = np.bincount(domains, weights=counts, minlength=self.table.values)
        sums[0] = 0
        per_row: Ints = sums[domains].astype(np.int64)
        return per_row
