"""A priority level on a virtual clock: requests arrive, run for a set time and leave."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from kdist.apiserver.flowcontrol.queueset import ONE_SEAT, Estimate, QueueSet, Queuing, Ticket
from kdist.apiserver.flowcontrol.sharding import deal, flow_hash
from kdist.apiserver.flowcontrol.stats import SchemaStats


@dataclass
class World:
    """Time, and what happens in it."""

    now: float = 0.0
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _number: int = 0

    def at(self, delay: float, event: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (self.now + delay, self._number, event))

    def run(self, until: float = float("inf")) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = max(self.now, until) if until != float("inf") else self.now


class Level:
    """One priority level; ``send`` makes a request of a flow."""

    def __init__(self, world: World, seats: int, queuing: Queuing) -> None:
        self.world, self.queuing = world, queuing
        self.queues = QueueSet(lambda: world.now, world.at)
        self.queues.configure(queuing, seats)
        self.stats: dict[str, SchemaStats] = {}
        self.served: dict[str, int] = {}
        self.waits: dict[str, list[float]] = {}

    def send(self, flow: str, seconds: float, estimate: Estimate = ONE_SEAT) -> Ticket:
        hand: tuple[int, ...] = ()
        if self.queuing.queues:
            hand = deal(flow_hash("test", flow), self.queuing.queues, self.queuing.hand_size)
        stats = self.stats.setdefault(flow, SchemaStats("level", flow))
        ticket = self.queues.arrive(estimate, hand, stats)
        began = self.world.now

        def run() -> None:
            self.waits.setdefault(flow, []).append(self.world.now - began)
            self.world.at(seconds, end)

        def end() -> None:
            self.served[flow] = self.served.get(flow, 0) + 1
            self.queues.finish(ticket)

        if ticket.waits:
            ticket.started = run
        elif not ticket.rejected:
            run()
        return ticket

    def keep_busy(self, flow: str, clients: int, seconds: float, until: float) -> None:
        """That many clients send their next request when the last one is answered."""

        def again() -> None:
            if self.world.now >= until:
                return
            ticket = self.send(flow, seconds)
            if ticket.rejected:
                self.world.at(seconds, again)
                return
            if ticket.waits:
                run = ticket.started

                def started() -> None:
                    run()
                    self.world.at(seconds, again)

                ticket.started = started
            else:
                self.world.at(seconds, again)

        for _ in range(clients):
            again()


@pytest.fixture
def world() -> World:
    return World()
