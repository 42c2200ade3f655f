"""Room for an important pod by evicting less important ones: which node, which victims.

A plan is made on the cache itself: the candidates' pods are lifted off a node, put back as far as the pod
still fits, and everything is as before when the plan is made.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from kdist.api import meta
from kdist.api.kinds import POD_DISRUPTION_BUDGETS
from kdist.api.meta import Obj
from kdist.api.selectors import LabelSelector, from_label_selector
from kdist.scheduler.cache import Cache
from kdist.scheduler.framework import Diagnosis, Framework, State
from kdist.scheduler.listers import Listers
from kdist.scheduler.podinfo import PodInfo

# Nodes for which victims are worked out; more would seldom find a better one.
CANDIDATES = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """The victims on a node; ``violations`` of them are protected by a disruption budget."""

    node: str
    victims: tuple[PodInfo, ...]
    violations: int

    def cost(self) -> tuple[object, ...]:
        """Smaller is better: budgets, the highest priority, the sum, the number, the age of victims."""
        top = max(victim.priority for victim in self.victims)
        started = max((_started(v) for v in self.victims if v.priority == top), default="")
        return (
            self.violations,
            top,
            sum(victim.priority for victim in self.victims),
            len(self.victims),
            tuple(-ord(char) for char in started),
        )


class _Budget:
    """A PodDisruptionBudget while victims are counted against it."""

    def __init__(self, budget: Obj) -> None:
        self.namespace = meta.namespace(budget)
        self.selector: LabelSelector = from_label_selector(meta.get(budget, "spec.selector"))
        self.left = int(meta.get(budget, "status.disruptionsAllowed", 0))

    def covers(self, pod: PodInfo) -> bool:
        return pod.namespace == self.namespace and self.selector.matches(pod.labels)


class Preemptor:
    """Plans evictions; carrying them out is the scheduler's."""

    def __init__(
        self, cache: Cache, framework: Framework, listers: Listers, chance: random.Random | None = None
    ) -> None:
        self._cache, self._framework, self._listers = cache, framework, listers
        self._chance = chance or random.Random()

    def plan(self, pod: PodInfo, state: State, diagnosis: Diagnosis) -> tuple[Plan | None, str]:
        """The best plan, or why there is none (for the pod's condition)."""
        if pod.spec.get("preemptionPolicy") == "Never":
            return None, "preemption: not eligible due to preemptionPolicy=Never."
        if self._waits_for_victims(pod):
            return None, "preemption: not eligible due to a terminating pod on the nominated node."
        hopeful = diagnosis.resolvable
        rows = [] if hopeful is None else [int(row) for row in np.flatnonzero(hopeful)]
        plans = self._plans(pod, state, rows)
        if plans:
            return min(plans, key=Plan.cost), ""
        return None, _refusal(diagnosis.nodes, len(rows))

    def _waits_for_victims(self, pod: PodInfo) -> bool:
        nominated = meta.get(pod.obj, "status.nominatedNodeName", "")
        return any(
            victim.deleting and victim.priority < pod.priority for victim in self._cache.pods_on(nominated)
        )

    def _plans(self, pod: PodInfo, state: State, rows: list[int]) -> list[Plan]:
        self._chance.shuffle(rows)
        budgets = [_Budget(b) for b in self._listers.list(POD_DISRUPTION_BUDGETS)]
        plans: list[Plan] = []
        for row in rows:
            plan = self._on(pod, state, self._cache.table.names[row], budgets)
            if plan is not None:
                plans.append(plan)
            if len(plans) == CANDIDATES:
                break
        return plans

    def _on(self, pod: PodInfo, state: State, node: str, budgets: Sequence[_Budget]) -> Plan | None:
        lesser = [other for other in self._cache.pods_on(node) if other.priority < pod.priority]
        if not lesser:
            return None
        for other in lesser:
            self._cache.lift(other, node)
        lifted = list(lesser)
        try:
            if not self._fits(pod, state, node):
                return None
            protected = _protected(lesser, budgets)
            # Give back the protected first, then the most important and longest running.
            lesser.sort(key=lambda p: (p.uid not in protected, -p.priority, _started(p)))
            for other in lesser:
                self._cache.put_back(other, node)
                lifted.remove(other)
                if not self._fits(pod, state, node):
                    self._cache.lift(other, node)
                    lifted.append(other)
            victims = tuple(lifted)
            return Plan(node, victims, sum(v.uid in protected for v in victims)) if victims else None
        finally:
            for other in lifted:
                self._cache.put_back(other, node)

    def _fits(self, pod: PodInfo, state: State, node: str) -> bool:
        return bool(self._framework.filter(pod, state)[self._cache.table.rows[node]])


def _refusal(nodes: int, hopeful: int) -> str:
    told = []
    if hopeful:
        told.append(f"{hopeful} No preemption victims found for incoming pod")
    if nodes > hopeful:
        told.append(f"{nodes - hopeful} Preemption is not helpful for scheduling")
    return f"preemption: 0/{nodes} nodes are available: {', '.join(told)}."


def _protected(victims: Iterable[PodInfo], budgets: Sequence[_Budget]) -> set[str]:
    """The pods whose eviction their budgets do not allow, if all of them were evicted."""
    left = {id(budget): budget.left for budget in budgets}
    found = set()
    for victim in sorted(victims, key=lambda v: (-v.priority, _started(v))):
        for budget in budgets:
            if budget.covers(victim):
                left[id(budget)] -= 1
                if left[id(budget)] < 0:
                    found.add(victim.uid)
    return found


def _started(pod: PodInfo) -> str:
    return str(meta.get(pod.obj, "status.startTime", ""))
