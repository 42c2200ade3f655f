"""Pods of a kind lie evenly over zones and nodes: as a rule, or as a preference."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from kdist.api import meta
from kdist.api.kinds import REPLICA_SETS, REPLICATION_CONTROLLERS, SERVICES, STATEFUL_SETS, Kind
from kdist.api.selectors import LabelSelector, from_label_selector, from_labels
from kdist.scheduler.cache import Cache
from kdist.scheduler.framework import MAX_SCORE, Plugin, Rejection, State
from kdist.scheduler.listers import Listers
from kdist.scheduler.nodeselection import required_rows
from kdist.scheduler.nodetable import Bools, Ids, Rows, Scores
from kdist.scheduler.plugins.tainttoleration import untolerated_rows
from kdist.scheduler.podinfo import PodInfo
from kdist.scheduler.terms import SpreadConstraint

HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
_REASON = "node(s) didn't match pod topology spread constraints"
# Pods without constraints of their own spread like this, by what owns or selects them.
_DEFAULTS = ((HOSTNAME, 3), (ZONE, 5))
_OWNERS: dict[str, Kind] = {
    "ReplicaSet": REPLICA_SETS,
    "StatefulSet": STATEFUL_SETS,
    "ReplicationController": REPLICATION_CONTROLLERS,
}


@dataclass(slots=True)
class _Domains:
    """One constraint seen over the nodes: each row's domain, which rows count, pods per domain."""

    column: Ids
    eligible: Bools
    pods: Ids


class TopologySpread(Plugin):
    """Compares the pods of each topology domain with the emptiest one."""

    name = "PodTopologySpread"
    weight = 2

    def __init__(self, cache: Cache, listers: Listers) -> None:
        super().__init__(cache)
        self._listers = listers

    # ----- the rule

    def filter(self, pod: PodInfo, state: State) -> Iterable[Rejection]:
        """Rows where one more pod would exceed the skew, and rows in no domain at all."""
        hard = [c for c in pod.spread if c.hard]
        if not hard:
            return
        missing = self._missing(hard)
        skewed = np.zeros(len(self.table), bool)
        for constraint in hard:
            skewed |= self._skewed(pod, constraint, missing)
        yield Rejection(missing, f"{_REASON} (missing required label)", resolvable=False)
        yield Rejection(skewed & ~missing, _REASON)

    def _missing(self, constraints: Iterable[SpreadConstraint]) -> Bools:
        missing = np.zeros(len(self.table), bool)
        for constraint in constraints:
            missing |= self.table.label(constraint.topology_key) == 0
        return missing

    def _skewed(self, pod: PodInfo, constraint: SpreadConstraint, missing: Bools) -> Bools:
        domains = self._domains(pod, constraint, missing)
        present = np.unique(domains.column[domains.eligible])
        smallest = int(domains.pods[present].min()) if len(present) else 0
        if len(present) < constraint.min_domains:
            smallest = 0
        own = int(constraint.selector.matches(pod.labels))
        skewed: Bools = domains.pods[domains.column] + own - smallest > constraint.max_skew
        return skewed

    def _domains(self, pod: PodInfo, constraint: SpreadConstraint, missing: Bools) -> _Domains:
        eligible = self.table.valid & ~missing
        if constraint.honor_affinity:
            eligible &= required_rows(self.table, pod.spec)
        if constraint.honor_taints:
            eligible &= ~untolerated_rows(pod, self.table)
        column = self.table.label(constraint.topology_key)
        counts = self._count(pod.namespace, constraint.selector)
        sums = np.bincount(column[eligible], weights=counts[eligible], minlength=self.table.values)
        return _Domains(column, eligible, sums.astype(np.int32))

    def _count(self, namespace: str, selector: LabelSelector) -> Ids:
        """Per row the pods of the namespace that the selector means and that are there to stay."""
        return self.cache.index.count(
            ("spread", namespace, selector),
            lambda other: not other.deleting and selector.matches(other.labels),
            frozenset({namespace}),
        )

    # ----- the preference

    def score(self, pod: PodInfo, state: State, rows: Rows) -> Scores | None:
        """100 for the emptiest domains."""
        soft = [c for c in pod.spread if not c.hard]
        defaulted = not pod.spread
        if defaulted:
            soft = self._default_constraints(pod)
        if not soft:
            return None
        # A default constraint does not rule out nodes without zones; a pod's own one does.
        ignored = np.zeros(len(self.table), bool) if defaulted else self._missing(soft)
        raw = np.zeros(len(rows))
        for constraint in soft:
            raw += self._points(pod, constraint, ignored, rows)
        return _scaled(raw, ignored[rows])

    def _points(self, pod: PodInfo, constraint: SpreadConstraint, ignored: Bools, rows: Rows) -> Scores:
        counted = rows[~ignored[rows]]
        column = self.table.label(constraint.topology_key)
        if constraint.topology_key == HOSTNAME:
            size = len(counted)
            found = self._count(pod.namespace, constraint.selector)[rows]
        else:
            size = len(np.unique(column[counted]))
            found = self._domains(pod, constraint, ignored).pods[column[rows]]
        # The more domains there are, the more one pod's difference means.
        points: Scores = found.astype(np.float64) * math.log(size + 2) + (constraint.max_skew - 1)
        return np.where(column[rows] != 0, points, 0.0)

    def _default_constraints(self, pod: PodInfo) -> list[SpreadConstraint]:
        selector = self._owner_selector(pod)
        if selector is None:
            return []
        return [SpreadConstraint(key, skew, selector, hard=False) for key, skew in _DEFAULTS]

    def _owner_selector(self, pod: PodInfo) -> LabelSelector | None:
        """What the pod's services and its owner select, together."""
        found = [
            from_labels(service["spec"].get("selector"))
            for service in self._listers.list(SERVICES, pod.namespace)
        ]
        selectors = [selector for selector in found if selector.matches(pod.labels)]
        owner = self._owner(pod)
        if owner is not None:
            selectors.append(owner)
        requirements = {r: None for s in selectors for r in s.requirements}
        return LabelSelector(tuple(requirements)) if requirements else None

    def _owner(self, pod: PodInfo) -> LabelSelector | None:
        ref = meta.controller_of(pod.obj)
        kind = _OWNERS.get(ref["kind"]) if ref is not None else None
        owner = self._listers.get(kind, ref["name"], pod.namespace) if ref and kind else None
        if owner is None:
            return None
        selector = owner["spec"].get("selector")
        return from_labels(selector) if kind == REPLICATION_CONTROLLERS else from_label_selector(selector)


def _scaled(raw: Scores, ignored: Bools) -> Scores:
    counted = raw[~ignored]
    if not len(counted):
        return np.zeros(len(raw))
    most, least = counted.max(), counted.min()
    if most == 0:
        return np.where(ignored, 0.0, float(MAX_SCORE))
    scaled: Scores = MAX_SCORE * (most + least - raw) / most
    return np.where(ignored, 0.0, scaled)
