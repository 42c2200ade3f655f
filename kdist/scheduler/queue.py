"""Pods that wait to be placed: ready ones by priority, failed ones backing off, hopeless ones until a change.

::

    add ──> active ──pop──> (being placed) ──bound──> gone
              ^                  │
              │ time             ├── failed for now ──> backing off ──┐
              └──────────────────┼────────────────────────────────────┘
                                 └── fits nowhere ──> unschedulable ──event──> backing off or active

A pod with scheduling gates waits aside until it has none. The clock is injected.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from itertools import count

from kdist.scheduler.events import ClusterEvent
from kdist.scheduler.podinfo import PodInfo

FIRST_BACKOFF, MAX_BACKOFF = 1.0, 10.0
# Nothing waits longer than this for an event: an event may be one that nobody thought of.
LONGEST_WAIT = 300.0


class Place(Enum):
    """Where a pod waits."""

    ACTIVE = "active"
    BACKOFF = "backoff"
    UNSCHEDULABLE = "unschedulable"
    GATED = "gated"
    IN_FLIGHT = "in flight"


@dataclass(slots=True, eq=False)
class QueuedPod:
    """A pod in the queue. ``plugins`` are those that rejected it last; ``ticket`` its entry in a heap."""

    pod: PodInfo
    added: float
    since: float
    place: Place = Place.ACTIVE
    attempts: int = 0
    ticket: int = 0
    plugins: frozenset[str] = field(default_factory=frozenset)

    @property
    def backoff(self) -> float:
        """Seconds between the last attempt and the next one."""
        return float(min(MAX_BACKOFF, FIRST_BACKOFF * 2 ** min(self.attempts - 1, 10)))


_Entry = tuple[float, float, int, QueuedPod]


class SchedulingQueue:
    """Pops the most important pod, of equals the one that waits longest."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pods: dict[str, QueuedPod] = {}
        # Longest waiting first: entries are only ever added at the end.
        self._unschedulable: dict[str, QueuedPod] = {}
        self._active: list[_Entry] = []
        self._backoff: list[_Entry] = []
        self._tickets = count(1)
        self._wake = asyncio.Event()

    def __contains__(self, uid: str) -> bool:
        """Whether the pod waits or is being placed."""
        return uid in self._pods

    def sizes(self) -> dict[Place, int]:
        """How many pods wait where."""
        sizes = dict.fromkeys(Place, 0)
        for queued in self._pods.values():
            sizes[queued.place] += 1
        return sizes

    # ----- what informers say

    def add(self, pod: PodInfo) -> None:
        """A new pod, or a new version of one that waits."""
        known = self._pods.get(pod.uid)
        if known is not None:
            self._update(known, pod)
            return
        now = self._clock()
        queued = self._pods[pod.uid] = QueuedPod(pod, added=now, since=now)
        if is_gated(pod):
            queued.place = Place.GATED
        else:
            self._activate(queued)

    def _update(self, queued: QueuedPod, pod: PodInfo) -> None:
        changed = _wishes(queued.pod) != _wishes(pod)
        queued.pod = pod
        if queued.place is Place.GATED and not is_gated(pod):
            self._activate(queued)
        elif queued.place is Place.UNSCHEDULABLE and changed:
            self._retry(queued)

    def remove(self, uid: str) -> None:
        """The pod is gone, or placed."""
        queued = self._pods.pop(uid, None)
        if queued is not None:
            queued.ticket = 0
            self._unschedulable.pop(uid, None)

    def move(self, event: ClusterEvent) -> None:
        """Something changed that may make room: try the pods again that it may help."""
        for queued in list(self._unschedulable.values()):
            if event.may_help(queued.plugins):
                self._retry(queued)

    # ----- what the loop does

    async def pop(self) -> QueuedPod:
        """The next pod to place."""
        while True:
            due = self._flush()
            queued = _take(self._active)
            if queued is not None:
                queued.place, queued.ticket = Place.IN_FLIGHT, 0
                queued.attempts += 1
                return queued
            self._wake.clear()
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def unschedulable(self, queued: QueuedPod, plugins: frozenset[str]) -> None:
        """The pod fits nowhere now; ``plugins`` said so."""
        if self._pods.get(queued.pod.uid) is queued:
            queued.plugins, queued.since, queued.place = plugins, self._clock(), Place.UNSCHEDULABLE
            self._unschedulable[queued.pod.uid] = queued

    def back_off(self, queued: QueuedPod) -> None:
        """Something went wrong on the way: try again after a while."""
        if self._pods.get(queued.pod.uid) is queued:
            queued.since = self._clock()
            self._retry(queued)

    # ----- inside

    def _flush(self) -> float | None:
        """Activate what has waited long enough; when to look again."""
        now = self._clock()
        while self._backoff and (self._backoff[0][0] <= now or not _is_live(self._backoff[0])):
            entry = heapq.heappop(self._backoff)
            if _is_live(entry):
                self._activate(entry[3])
        while (longest := next(iter(self._unschedulable.values()), None)) is not None:
            if longest.since + LONGEST_WAIT > now:
                break
            self._activate(longest)
        times = [self._backoff[0][0]] if self._backoff else []
        if longest is not None:
            times.append(longest.since + LONGEST_WAIT)
        return min(times, default=None)

    def _retry(self, queued: QueuedPod) -> None:
        ready = queued.since + queued.backoff
        if ready <= self._clock():
            self._activate(queued)
            return
        queued.place = Place.BACKOFF
        self._unschedulable.pop(queued.pod.uid, None)
        self._put(self._backoff, queued, ready)

    def _activate(self, queued: QueuedPod) -> None:
        queued.place = Place.ACTIVE
        self._unschedulable.pop(queued.pod.uid, None)
        self._put(self._active, queued, -queued.pod.priority)

    def _put(self, heap: list[_Entry], queued: QueuedPod, order: float) -> None:
        queued.ticket = next(self._tickets)
        heapq.heappush(heap, (order, queued.added, queued.ticket, queued))
        self._wake.set()


def is_gated(pod: PodInfo) -> bool:
    """Whether the pod is not to be placed yet."""
    return bool(pod.spec.get("schedulingGates"))


def _wishes(pod: PodInfo) -> tuple[object, ...]:
    """What decides where a pod may go: the status does not."""
    return pod.spec, pod.labels, pod.deleting


def _is_live(entry: _Entry) -> bool:
    return entry[3].ticket == entry[2]


def _take(heap: list[_Entry]) -> QueuedPod | None:
    """The first entry that still counts: a pod that moved on leaves its old entry behind."""
    while heap:
        entry = heapq.heappop(heap)
        if _is_live(entry):
            return entry[3]
    return None
