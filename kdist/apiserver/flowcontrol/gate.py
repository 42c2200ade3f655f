"""Where requests wait for their turn: the asynchronous side of flow control.

:func:`gate_of` picks the gate that the settings ask for: priority and fairness, plain limits, or none. The
application calls ``arrive`` when it knows the user, waits if the ticket says so, and calls ``leave`` at the end. A
watch leaves when it is initialized; other long-running requests (exec, logs, proxying) never come here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol, cast

from kdist.api.errors import TooManyRequests
from kdist.apiserver.authn.user import MASTERS
from kdist.apiserver.flowcontrol.estimate import Counts, Estimator, Watches
from kdist.apiserver.flowcontrol.levels import Flow, Level, Levels
from kdist.apiserver.flowcontrol.pace import Pace
from kdist.apiserver.flowcontrol.queueset import ONE_SEAT, QueueSet, Ticket
from kdist.apiserver.request import Request
from kdist.config.apiserver import ApiServerSettings

TOO_MANY = "Too many requests, please try again later."
LONGEST_WAIT = 60.0  # seconds
WAIT_SHARE = 4  # a request waits at most this part of its time: the rest is for serving it
_READ_VERBS = frozenset({"get", "list", "watch", "head", "options", ""})


class Admission(Protocol):
    """A request that was let in, or waits."""

    waits: bool
    forget_watch: Callable[[], None]


class Gate(Protocol):
    """What the application knows of flow control."""

    def arrive(self, request: Request) -> Admission | None:
        """Let in, queue or refuse a request. None: nothing to wait for or to leave. TooManyRequests."""

    async def wait(self, admission: Admission, deadline: float) -> None:
        """Wait for the turn, at most a quarter of the time until ``deadline`` (seconds). TooManyRequests."""

    def leave(self, admission: Admission) -> None:
        """The request is done, or a watch is initialized."""


class Unlimited:
    """No flow control at all."""

    def arrive(self, request: Request) -> Admission | None:
        """Everybody may pass."""
        return None

    async def wait(self, admission: Admission, deadline: float) -> None:
        """Never called."""

    def leave(self, admission: Admission) -> None:
        """Never called."""


class _Counted:
    """A request under a plain limit."""

    waits = False

    def __init__(self, inflight: list[None]) -> None:
        self.inflight = inflight
        self.done = False
        self.forget_watch = _nothing


def _nothing() -> None:
    pass


class InflightGate:
    """Two plain limits, for reads and for writes; 0 is none. Administrators always pass."""

    def __init__(self, reads: int, writes: int) -> None:
        self._reads, self._writes = reads, writes
        self.inflight: dict[bool, list[None]] = {True: [], False: []}

    def arrive(self, request: Request) -> Admission | None:
        """Count the request, or refuse it."""
        if request.info.verb == "watch":
            return None
        reads = request.info.verb in _READ_VERBS
        limit, inflight = self._reads if reads else self._writes, self.inflight[reads]
        if limit and len(inflight) >= limit and MASTERS not in request.user.groups:
            raise _too_many(1)
        inflight.append(None)
        return _Counted(inflight)

    async def wait(self, admission: Admission, deadline: float) -> None:
        """Never called: there is no queue."""

    def leave(self, admission: Admission) -> None:
        """Count it out, once."""
        counted = cast(_Counted, admission)
        if not counted.done:
            counted.done = True
            counted.inflight.pop()


class FlowGate:
    """API priority and fairness."""

    def __init__(self, levels: Levels, estimator: Estimator, watches: Watches) -> None:
        self.levels, self._estimator, self._watches = levels, estimator, watches

    def arrive(self, request: Request) -> Ticket:
        """Classify and let in, queue, or refuse."""
        info = request.info
        flow = self.levels.classify(request.user, info)
        request.flow_headers = flow.headers
        level, stats = flow.level, flow.stats
        if info.verb == "get":
            estimate = ONE_SEAT
            stats.single += 1
        else:
            estimate = self._estimator.estimate(request, level.most_seats)
            stats.work.observe(estimate.most)
        ticket = level.queues.arrive(estimate, flow.hand, stats)
        if ticket.rejected:
            raise self._refusal(flow)
        ticket.owner = (request, flow)
        if info.verb == "watch":
            ticket.forget_watch = self._watches.opened(request)
        return ticket

    def _refusal(self, flow: Flow) -> TooManyRequests:
        return _too_many(flow.level.dropped.record(time.time()))

    async def wait(self, admission: Admission, deadline: float) -> None:
        """See :class:`Gate`."""
        ticket = cast(Ticket, admission)
        flow: Flow = ticket.owner[1]
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ticket.started = lambda: None if turn.done() else turn.set_result(None)
        began = time.monotonic()
        try:
            async with asyncio.timeout(min(LONGEST_WAIT, deadline / WAIT_SHARE)):
                await turn
        except TimeoutError:
            if ticket.waits:
                flow.stats.waited["false"].observe(time.monotonic() - began)
                raise self._refusal(flow) from None
        flow.stats.waited["true"].observe(time.monotonic() - began)

    def leave(self, admission: Admission) -> None:
        """See :class:`Gate`; a request that still waits gives up."""
        ticket = cast(Ticket, admission)
        level: Level = ticket.owner[1].level
        if ticket.waits:
            level.queues.cancel(ticket)
        else:
            level.queues.finish(ticket)
        if level.quiescing:
            self.levels.reap()


def _too_many(seconds: int) -> TooManyRequests:
    return TooManyRequests(TOO_MANY, details={"retryAfterSeconds": seconds})


def gate_of(settings: ApiServerSettings, counts: Counts) -> Gate:
    """The gate that the settings ask for. Needs a running event loop for priority and fairness."""
    reads, writes = settings.max_requests_inflight, settings.max_mutating_requests_inflight
    if not settings.enable_priority_and_fairness:
        return InflightGate(reads, writes) if reads or writes else Unlimited()
    watches = Watches()
    loop = asyncio.get_running_loop()
    pace = Pace(time.thread_time, loop.call_soon)
    levels = Levels(reads + writes, lambda: QueueSet(time.monotonic, loop.call_later, pace))
    return FlowGate(levels, Estimator(counts, watches), watches)
