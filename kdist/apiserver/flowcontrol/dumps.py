"""The debug tables of flow control at /debug/api_priority_and_fairness/: levels, queues, requests.

Columns and their order are upstream's: tools read them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from kdist.apiserver.flowcontrol.levels import Level, Levels
from kdist.apiserver.flowcontrol.queueset import Ticket
from kdist.apiserver.request import Request

_LEVELS = (
    "PriorityLevelName",
    "ActiveQueues",
    "IsIdle",
    "IsQuiescing",
    "WaitingRequests",
    "ExecutingRequests",
    "DispatchedRequests",
    "RejectedRequests",
    "TimedoutRequests",
    "CancelledRequests",
)
_QUEUES = (
    "PriorityLevelName",
    "Index",
    "PendingRequests",
    "ExecutingRequests",
    "SeatsInUse",
    "NextDispatchR",
    "InitialSeatsSum",
    "MaxSeatsSum",
    "TotalWorkSum",
)
_REQUESTS = (
    "PriorityLevelName",
    "FlowSchemaName",
    "QueueIndex",
    "RequestIndexInQueue",
    "FlowDistingsher",
    "ArriveTime",
    "InitialSeats",
    "FinalSeats",
    "AdditionalLatency",
    "StartTime",
)
_DETAILS = ("UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource")


def priority_levels(levels: Levels) -> str:
    """A row per level."""
    return _table(_LEVELS, (_level(level) for _, level in sorted(levels.levels.items())))


def _level(level: Level) -> Sequence[object]:
    queues = level.queues
    return (
        level.name,
        sum(bool(queue.waiting) for queue in queues.queues),
        queues.is_idle,
        level.quiescing,
        queues.waiting,
        queues.executing,
        queues.dispatched,
        queues.rejected,
        0,
        queues.cancelled,
    )


def queues(levels: Levels) -> str:
    """A row per queue."""
    return _table(_QUEUES, _queues(levels))


def _queues(levels: Levels) -> Iterator[Sequence[object]]:
    for name, level in sorted(levels.levels.items()):
        for queue in level.queues.queues:
            yield (
                name,
                queue.index,
                len(queue.waiting),
                queue.executing,
                queue.seats,
                f"{queue.served:.8f}ss",
                sum(ticket.estimate.seats for ticket in queue.waiting),
                sum(ticket.seats for ticket in queue.waiting),
                f"{queue.work:.8f}ss",
            )


def requests(levels: Levels, *, details: bool) -> str:
    """A row per request that waits or, in a level without queues, runs."""
    offset = time.time() - time.monotonic()
    columns = _REQUESTS + _DETAILS if details else _REQUESTS
    return _table(columns, _requests(levels, offset, details=details))


def _requests(levels: Levels, offset: float, *, details: bool) -> Iterator[Sequence[object]]:
    for name, level in sorted(levels.levels.items()):
        for queue in level.queues.queues:
            for index, ticket in enumerate(queue.waiting):
                yield _request(name, queue.index, index, ticket, offset, details=details)
        for ticket in level.queues.unqueued:
            yield _request(name, -1, -1, ticket, offset, details=details)


def _request(
    level: str, queue: int, index: int, ticket: Ticket, offset: float, *, details: bool
) -> Sequence[object]:
    row = (
        level,
        ticket.stats.schema,
        queue,
        index,
        ticket.owner[1].distinguisher,
        _stamp(ticket.arrived + offset),
        ticket.estimate.seats,
        ticket.estimate.final,
        f"{ticket.estimate.linger:g}s",
        "0001-01-01T00:00:00Z" if ticket.waits else _stamp(ticket.start_time + offset),
    )
    if not details:
        return row
    request: Request = ticket.owner[0]
    user, info = request.user, request.info
    version = f"{info.group}/{info.version}" if info.group else info.version
    name = (user.name, info.verb, info.path, info.namespace, info.name)
    return (*row, *name, version, info.plural, info.subresource)


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    cells = [list(columns), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[n]) for row in cells if n < len(row)) + 2 for n in range(len(columns))]
    return "".join(_line(row, widths) for row in cells)


def _cell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = [f"{value},".ljust(width) for value, width in zip(row[:-1], widths, strict=False)]
    return "".join(padded) + row[-1] + "\n"
