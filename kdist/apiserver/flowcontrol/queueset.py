"""Fair queuing of one priority level's requests: who goes next when seats are short.

A request takes seats for as long as it runs. While seats are free and nobody waits it starts at once, which is
a handful of additions. Otherwise it waits in the shortest queue of its flow's hand, and seats that become free go
to the queue that has had the least work so far, in virtual time R: R advances by what each active queue could
have had in a perfectly fair server, and each queue remembers up to which R it has been served (``served``).

The core is pure: the clock and the timer come from outside, and a start is a call of :attr:`Ticket.started`.
The guess of 3 ms per request and its correction when the request ends are those of upstream's fair queuing. Where
upstream advances R by the seats that could be in use, R here follows those that are: with a :class:`Pace` they are
fewer, and a queue must not seem to have been robbed of what nobody got.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kdist.apiserver.flowcontrol.demand import Demand
from kdist.apiserver.flowcontrol.pace import Pace
from kdist.apiserver.flowcontrol.stats import SchemaStats

GUESSED_SECONDS = 0.003  # what a request is charged until it is known how long it took

Clock = Callable[[], float]
# Calls back after some seconds.
Timer = Callable[[float, Callable[[], None]], object]


@dataclass(frozen=True, slots=True)
class Queuing:
    """How a level queues. ``queues`` 0: it rejects what finds no seat."""

    queues: int = 0
    hand_size: int = 1
    length_limit: int = 0


class Estimate:
    """What a request costs: seats while it runs, and ``final`` seats for ``linger`` seconds after it."""

    __slots__ = ("final", "linger", "most", "seats", "work")

    def __init__(self, seats: int = 1, final: int = 0, linger: float = 0.0) -> None:
        self.seats, self.final, self.linger = seats, final, linger
        self.most = max(seats, final)
        self.work = seats * GUESSED_SECONDS + final * linger  # seat-seconds, as long as nobody knows better


ONE_SEAT = Estimate()


class Queue:
    """The requests of a few flows, first come first served."""

    __slots__ = ("executing", "index", "seats", "served", "waiting", "work")

    def __init__(self, index: int) -> None:
        self.index = index
        self.waiting: deque[Ticket] = deque()
        self.executing = 0  # requests
        self.seats = 0  # in use, by the executing and the lingering
        self.work = 0.0  # seat-seconds of those that wait
        self.served = 0.0  # up to which R


def _nobody() -> None:
    pass


class Ticket:
    """One request in a level, from its arrival to its end.

    No slots: most requests start at once and never set most of these.
    """

    waits = False
    rejected = ""  # the reason, as the metric has it
    done = False
    #: Called when a waiting request may start; set by who waits.
    started: Callable[[], None] = staticmethod(_nobody)
    #: Called when a watch ends; set by who opened it.
    forget_watch: Callable[[], None] = staticmethod(_nobody)

    def __init__(
        self, estimate: Estimate, queue: Queue | None, now: float, r: float, stats: SchemaStats
    ) -> None:
        self.estimate, self.queue, self.stats = estimate, queue, stats
        self.seats = estimate.most
        self.arrived = self.start_time = now
        self.arrived_r = r
        self.owner: Any = None  # what the dump of requests shows


class QueueSet:
    """The queues and the seats of one priority level."""

    def __init__(self, clock: Clock, timer: Timer, pace: Pace | None = None) -> None:
        self._clock, self._timer, self._pace = clock, timer, pace
        self.queuing = Queuing()
        self.limit = 0
        self.exempt = False
        self.queues: list[Queue] = []
        self.demand = Demand(clock())
        self.r = 0.0
        self._synced = clock()
        self._backlog: dict[Queue, None] = {}  # queues with waiting requests; the longest unserved first
        self._active = 0  # queues with waiting or executing requests
        self._arrivals = 0
        self.seats_in_use = 0
        self.seats_waiting = 0
        self.waiting = 0
        self.executing = 0
        self.dispatched = 0
        self.rejected = 0
        self.cancelled = 0
        self.unqueued: set[Ticket] = set()  # executing in a level without queues

    # ----- configuration

    def configure(self, queuing: Queuing, limit: int, *, exempt: bool = False) -> None:
        """Take new settings over; requests in queues that are no more keep their place in turn.

        An exempt level counts its requests and never makes one wait.
        """
        self._sync()
        if queuing.queues != len(self.queues) and queuing.queues:
            kept = self.queues[: queuing.queues]
            self.queues = [*kept, *(Queue(n) for n in range(len(kept), queuing.queues))]
        self.queuing, self.limit, self.exempt = queuing, limit, exempt
        self.dispatch()

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits or runs."""
        return not self.waiting and not self.executing

    # ----- virtual time

    def _sync(self) -> float:
        """Advance R and the integral of demand to now, which is returned."""
        now = self._clock()
        passed = now - self._synced
        if passed > 0:
            self._synced = now
            self.demand.integrate(self.seats_in_use + self.seats_waiting, passed)
            if self._active:
                self.r += passed * self.seats_in_use / self._active
        return now

    # ----- a request's way

    def arrive(self, estimate: Estimate, hand: tuple[int, ...], stats: SchemaStats) -> Ticket:
        """Start, queue or reject a request: see ``waits`` and ``rejected`` of the ticket."""
        now = self._sync()
        if not self.queuing.queues:
            return self._start_unqueued(estimate, now, stats)
        ticket = Ticket(estimate, self._choose(hand), now, self.r, stats)
        queue = ticket.queue
        assert queue is not None
        if (
            not self.waiting
            and self.seats_in_use + ticket.seats <= self.limit
            and (self._pace is None or self._pace.open)
        ):
            if not queue.executing:
                self._active += 1
                queue.served = self.r
            self._execute(ticket, queue, now)
            return ticket
        if self.seats_in_use >= self.limit and len(queue.waiting) >= self.queuing.length_limit:
            return self._refuse(ticket, "queue-full")
        self._enqueue(ticket, queue)
        self.dispatch()
        return ticket

    def _choose(self, hand: tuple[int, ...]) -> Queue:
        """The queue of the hand with the least work in it; a different one each time among equals."""
        self._arrivals += 1
        queues, size = self.queues, len(hand)
        first = queues[hand[self._arrivals % size]]
        if not self.waiting or not first.work:
            return first
        offset = self._arrivals
        return min((queues[hand[(offset + n) % size]] for n in range(size)), key=_work)

    def _refuse(self, ticket: Ticket, reason: str) -> Ticket:
        ticket.rejected = reason
        ticket.stats.refuse(reason)
        self.rejected += 1
        return ticket

    def _start_unqueued(self, estimate: Estimate, now: float, stats: SchemaStats) -> Ticket:
        ticket = Ticket(estimate, None, now, self.r, stats)
        if not self.exempt and not self._fits(ticket.seats):
            return self._refuse(ticket, "concurrency-limit")
        self.unqueued.add(ticket)
        self._occupy(ticket, now)
        return ticket

    def _fits(self, seats: int) -> bool:
        """Whether the seats are free; a request wider than the level may run alone."""
        if seats > self.limit:
            return not self.executing
        return self.seats_in_use + seats <= self.limit

    def _enqueue(self, ticket: Ticket, queue: Queue) -> None:
        if not queue.waiting:
            if not queue.executing:
                self._active += 1
                queue.served = self.r
            self._backlog[queue] = None
        queue.waiting.append(ticket)
        queue.work += ticket.estimate.work
        ticket.waits = True
        self.waiting += 1
        self.seats_waiting += ticket.seats
        self.demand.highest = max(self.demand.highest, self.seats_in_use + self.seats_waiting)
        ticket.stats.queued(ticket.seats, len(queue.waiting))
        if len(queue.waiting) == 1:
            _catch_up(queue)

    def dispatch(self) -> None:
        """Start who waits, in fair order, while there are seats and the turn allows it."""
        while self._backlog and self.seats_in_use < self.limit:
            queue = min(self._backlog, key=_finish)
            ticket = queue.waiting[0]
            if not self._fits(ticket.seats):
                ticket.stats.unaccommodated += 1
                return
            if self._pace is not None and not self._pace.open:
                self._pace.wants_turn(self)
                return
            queue.waiting.popleft()
            self._unqueue(ticket, queue)
            # among equals the longest unserved goes first
            if queue in self._backlog:
                del self._backlog[queue]
                self._backlog[queue] = None
            self._narrow(ticket)
            self._execute(ticket, queue, self._synced)
            _catch_up(queue)
            ticket.started()

    def _narrow(self, ticket: Ticket) -> None:
        """Final seats beyond the level's: the same work on fewer seats for longer."""
        estimate = ticket.estimate
        if estimate.final > self.limit > 0:
            linger = estimate.final * estimate.linger / self.limit
            ticket.estimate = Estimate(estimate.seats, self.limit, linger)

    def _unqueue(self, ticket: Ticket, queue: Queue) -> None:
        queue.work = queue.work - ticket.estimate.work if queue.waiting else 0.0
        ticket.waits = False
        self.waiting -= 1
        self.seats_waiting -= ticket.seats
        ticket.stats.unqueued(ticket.seats)
        if not queue.waiting:
            del self._backlog[queue]

    def _execute(self, ticket: Ticket, queue: Queue, now: float) -> None:
        queue.executing += 1
        queue.seats += ticket.seats
        queue.served += ticket.estimate.work
        self._occupy(ticket, now)

    def _occupy(self, ticket: Ticket, now: float) -> None:
        ticket.start_time = now
        self.executing += 1
        self.dispatched += 1
        seats, stats = ticket.seats, ticket.stats
        self.seats_in_use += seats
        wanted = self.seats_in_use + self.seats_waiting
        if wanted > self.demand.highest:
            self.demand.highest = wanted
        stats.dispatched += 1
        stats.executing += 1
        stats.seats += seats
        if self._pace is not None and not self.exempt:
            self._pace.spend(seats, now)

    def cancel(self, ticket: Ticket) -> None:
        """A waiting request gives up."""
        self._sync()
        queue = ticket.queue
        if queue is None or not ticket.waits:
            return
        ticket.done = True
        queue.waiting.remove(ticket)
        self._unqueue(ticket, queue)
        if not queue.waiting and not queue.executing:
            self._active -= 1
        _catch_up(queue)
        self.cancelled += 1
        self._refuse(ticket, "time-out")
        self.dispatch()

    def finish(self, ticket: Ticket) -> None:
        """A running request has ended, once: its seats go on, at once or after its lingering."""
        if ticket.done:
            return
        ticket.done = True
        now = self._sync()
        self.executing -= 1
        took = now - ticket.start_time
        ticket.stats.finished(took)
        queue = ticket.queue
        if queue is None:
            self.unqueued.discard(ticket)
        else:
            queue.executing -= 1
            queue.served -= ticket.estimate.seats * (GUESSED_SECONDS - took)
            if queue.waiting:
                _catch_up(queue)
            elif not queue.executing:
                self._active -= 1
        if ticket.estimate.linger > 0:
            self._timer(ticket.estimate.linger, lambda: self._linger_over(ticket))
            return
        self.seats_in_use -= ticket.seats
        ticket.stats.seats -= ticket.seats
        if queue is not None:
            queue.seats -= ticket.seats
        if self._backlog:
            self.dispatch()

    def _linger_over(self, ticket: Ticket) -> None:
        self._sync()
        self.seats_in_use -= ticket.seats
        ticket.stats.seats -= ticket.seats
        if ticket.queue is not None:
            ticket.queue.seats -= ticket.seats
        self.dispatch()


def _work(queue: Queue) -> float:
    return queue.work


def _finish(queue: Queue) -> float:
    """When, in R, a fair server would be done with the queue's next request."""
    return queue.served + queue.waiting[0].estimate.work


def _catch_up(queue: Queue) -> None:
    """A queue that was idle gets no credit for it: its next request cannot have begun before it came."""
    if queue.waiting and queue.served < queue.waiting[0].arrived_r:
        queue.served = queue.waiting[0].arrived_r
