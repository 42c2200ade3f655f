"""What plug-ins are and how they are run: filters and scores over all nodes at once.

A filter names the rows it rejects, with the reason; a score gives 0 to 100 per feasible row. Rejection is an
answer, not an error. Filters that look only at labels, taints and names say so by a ``static_key``: pods
with the same key share the answer until a node changes.
"""

from __future__ import annotations

import random
from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from kdist.scheduler.cache import Cache
from kdist.scheduler.nodetable import Bools, Rows, Scores
from kdist.scheduler.podinfo import PodInfo

MAX_SCORE = 100
# Answers of static filters kept at the same time.
MAX_STATIC = 256


class State(dict[str, Any]):
    """What a plug-in computed in this cycle, by the plug-in's name."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Rows a filter rejects, and why. ``resolvable``: evicting other pods might help."""

    rows: Bools
    reason: str
    resolvable: bool = True


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """The pod fits nowhere, whatever the nodes."""

    reason: str
    resolvable: bool = False


class Plugin:
    """Base of the plug-ins: every step defaults to having no say."""

    name: ClassVar[str]
    weight: ClassVar[int] = 1

    def __init__(self, cache: Cache) -> None:
        self.cache, self.table = cache, cache.table

    def pre_filter(self, pod: PodInfo, state: State) -> Unschedulable | None:
        """Look at the pod before any node; prepare ``state``."""
        return None

    def static_key(self, pod: PodInfo) -> Hashable | None:
        """Equal for pods with equal answers of ``filter`` while no node changes; None: ask each time."""
        return None

    def filter(self, pod: PodInfo, state: State) -> Iterable[Rejection]:
        """The rows that do not suit the pod."""
        return ()

    def score(self, pod: PodInfo, state: State, rows: Rows) -> Scores | None:
        """0 to 100 for each of the feasible rows; None: all the same."""
        return None

    def reserve(self, pod: PodInfo, state: State, node: str) -> Unschedulable | None:
        """Claim what the pod needs beyond the node's resources."""
        return None

    def unreserve(self, pod: PodInfo, state: State, node: str) -> None:
        """Give it back; called for every plug-in when a later step fails."""

    async def pre_bind(self, pod: PodInfo, state: State, node: str) -> None:
        """Do what must be done before binding. Raises BindingFailed or ApiError."""


class BindingFailed(Exception):
    """The pod cannot be bound after all; it is scheduled again."""


@dataclass(slots=True)
class Diagnosis:
    """Why a pod fits nowhere: a count per reason, and which plug-ins and rows were involved."""

    nodes: int
    reasons: Counter[str] = field(default_factory=Counter)
    plugins: set[str] = field(default_factory=set)
    resolvable: Bools | None = None
    message: str = ""

    def text(self, after: str = "") -> str:
        """``0/3 nodes are available: 1 Insufficient cpu, ... .``, then what preemption says."""
        told = ", ".join(sorted(f"{count} {reason}" for reason, count in self.reasons.items()))
        details = " ".join(part for part in (f"{told}." if told else "", self.message, after) if part)
        head = f"0/{self.nodes} nodes are available:" if self.nodes else "no nodes available to schedule pods"
        return f"{head} {details}" if self.nodes else head


class Framework:
    """Runs the plug-ins of one profile, in order."""

    def __init__(self, cache: Cache, plugins: Sequence[Plugin], chance: random.Random | None = None) -> None:
        self.cache, self.table, self.plugins = cache, cache.table, tuple(plugins)
        self._chance = chance or random.Random()
        self._static: OrderedDict[tuple[str, Hashable], tuple[int, list[Rejection]]] = OrderedDict()

    def pre_filter(self, pod: PodInfo, state: State, diagnosis: Diagnosis) -> bool:
        """Whether any node may suit the pod at all; if not, the diagnosis says why."""
        for plugin in self.plugins:
            refusal = plugin.pre_filter(pod, state)
            if refusal is not None:
                diagnosis.plugins.add(plugin.name)
                diagnosis.message = f"{refusal.reason}."
                return False
        return True

    def filter(self, pod: PodInfo, state: State, diagnosis: Diagnosis | None = None) -> Bools:
        """The rows that suit the pod. Each row counts for the first plug-in that rejects it."""
        alive = self.table.valid.copy()
        if diagnosis is not None:
            diagnosis.resolvable = np.zeros(len(alive), bool)
        for plugin in self.plugins:
            rejections = self._rejections(plugin, pod, state)
            if rejections:
                alive = _apply(plugin.name, rejections, alive, diagnosis)
                if not alive.any():
                    break
        return alive

    def _rejections(self, plugin: Plugin, pod: PodInfo, state: State) -> list[Rejection]:
        key = plugin.static_key(pod)
        if key is None:
            return list(plugin.filter(pod, state))
        version, at = self.table.static_version, (plugin.name, key)
        known = self._static.get(at)
        if known is not None and known[0] == version:
            self._static.move_to_end(at)
            return known[1]
        found = [rejection for rejection in plugin.filter(pod, state) if rejection.rows.any()]
        self._static[at] = (version, found)
        if len(self._static) > MAX_STATIC:
            self._static.popitem(last=False)
        return found

    def pick(self, pod: PodInfo, state: State, feasible: Bools) -> str:
        """The best of the feasible nodes; among equals, any."""
        rows = np.flatnonzero(feasible)
        if len(rows) == 1:
            return self.table.names[int(rows[0])]
        total = np.zeros(len(rows))
        for plugin in self.plugins:
            scores = plugin.score(pod, state, rows)
            if scores is not None:
                # Whole points per plug-in, as upstream: near-equal nodes are equal.
                total += plugin.weight * np.floor(scores)
        best = np.flatnonzero(total == total.max())
        return self.table.names[int(rows[best[self._chance.randrange(len(best))]])]

    def reserve(self, pod: PodInfo, state: State, node: str) -> Unschedulable | None:
        """Let every plug-in claim what it needs; on refusal all give back."""
        for plugin in self.plugins:
            refusal = plugin.reserve(pod, state, node)
            if refusal is not None:
                self.unreserve(pod, state, node)
                return refusal
        return None

    def unreserve(self, pod: PodInfo, state: State, node: str) -> None:
        """Give everything back, in reverse order."""
        for plugin in reversed(self.plugins):
            plugin.unreserve(pod, state, node)

    async def pre_bind(self, pod: PodInfo, state: State, node: str) -> None:
        """Everything that comes before binding, in order."""
        for plugin in self.plugins:
            await plugin.pre_bind(pod, state, node)


def _apply(name: str, rejections: list[Rejection], alive: Bools, diagnosis: Diagnosis | None) -> Bools:
    rejected = np.zeros(len(alive), bool)
    hopeless = np.zeros(len(alive), bool)
    for rejection in rejections:
        hit = rejection.rows & alive
        count = int(np.count_nonzero(hit))
        if not count:
            continue
        rejected |= hit
        if diagnosis is not None:
            diagnosis.reasons[rejection.reason] += count
            diagnosis.plugins.add(name)
            if not rejection.resolvable:
                hopeless |= hit
    if diagnosis is not None and diagnosis.resolvable is not None:
        diagnosis.resolvable |= rejected & ~hopeless
    remaining: Bools = alive & ~rejected
    return remaining


def normalize(raw: Scores, *, reverse: bool = False) -> Scores:
    """Scaled so that the largest becomes 100; reversed, so that the smallest raw value is best."""
    most = raw.max(initial=0.0)
    if most == 0:
        return np.full(len(raw), float(MAX_SCORE if reverse else 0))
    scaled: Scores = raw * MAX_SCORE / most
    return MAX_SCORE - scaled if reverse else scaled
