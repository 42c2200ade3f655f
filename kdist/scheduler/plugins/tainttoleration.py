"""Taints repel pods that do not tolerate them, softly or not."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
import orjson

from kdist.api import pods
from kdist.scheduler.framework import Plugin, Rejection, State, normalize
from kdist.scheduler.nodetable import Bools, NodeTable, Rows, Scores, Taint
from kdist.scheduler.podinfo import PodInfo

_HARD = frozenset({"NoSchedule", "NoExecute"})


def first_untolerated(pod: PodInfo, taints: Iterable[Taint]) -> Taint | None:
    """The first hard taint that the pod does not tolerate."""
    tolerations = pod.spec.get("tolerations")
    for key, value, effect in taints:
        if effect in _HARD and not pods.tolerates(tolerations, _taint(key, value, effect)):
            return key, value, effect
    return None


def untolerated_rows(pod: PodInfo, table: NodeTable) -> Bools:
    """The rows whose taints repel the pod."""
    bad = [first_untolerated(pod, taints) is not None for taints in table.taint_sets]
    rows: Bools = np.array(bad, bool)[table.taints]
    return rows


def _taint(key: str, value: str, effect: str) -> dict[str, str]:
    return {"key": key, "value": value, "effect": effect}


class TaintToleration(Plugin):
    """Judges each distinct set of taints once, not each node."""

    name = "TaintToleration"
    weight = 3

    def static_key(self, pod: PodInfo) -> Hashable:
        """The tolerations."""
        return orjson.dumps(pod.spec.get("tolerations"))

    def filter(self, pod: PodInfo, state: State) -> Iterable[Rejection]:
        """Per untolerated taint the rows that have it first."""
        column = self.table.taints
        by_taint: dict[Taint, Bools] = {}
        for number, taints in enumerate(self.table.taint_sets):
            taint = first_untolerated(pod, taints)
            if taint is not None:
                rows = column == number
                by_taint[taint] = by_taint[taint] | rows if taint in by_taint else rows
        for (key, value, _), rows in by_taint.items():
            reason = f"node(s) had untolerated taint {{{key}: {value}}}"
            yield Rejection(rows, reason, resolvable=False)

    def score(self, pod: PodInfo, state: State, rows: Rows) -> Scores | None:
        """Fewer untolerated PreferNoSchedule taints are better."""
        tolerations = [
            t for t in pod.spec.get("tolerations") or () if t.get("effect") in (None, "", "PreferNoSchedule")
        ]
        soft = [
            sum(
                effect == "PreferNoSchedule" and not pods.tolerates(tolerations, _taint(key, value, effect))
                for key, value, effect in taints
            )
            for taints in self.table.taint_sets
        ]
        if not any(soft):
            return None
        return normalize(np.array(soft, float)[self.table.taints[rows]], reverse=True)
