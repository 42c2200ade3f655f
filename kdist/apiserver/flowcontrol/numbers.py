"""The published ``apiserver_flowcontrol_*`` metrics, read off the levels when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from kdist.apiserver.flowcontrol.levels import Level, Levels
from kdist.apiserver.flowcontrol.stats import SchemaStats
from kdist.telemetry.series import Computed, Distribution, Family, Labels, Sample

_PREFIX = "apiserver_flowcontrol_"
_LEVEL = ("priority_level",)
_SCHEMA = ("priority_level", "flow_schema")

_OF_LEVELS: tuple[tuple[str, str, Callable[[Level], float]], ...] = (
    ("nominal_limit_seats", "Nominal seats of a level.", lambda at: at.limits.nominal),
    ("lower_limit_seats", "Seats that a level never lends.", lambda at: at.limits.lower),
    ("upper_limit_seats", "Seats that a level can have with what it borrows.", lambda at: at.limits.upper),
    ("current_limit_seats", "Seats that a level has at the moment.", lambda at: at.current),
    ("demand_seats_high_watermark", "Highest demand of the last period.", lambda at: at.observed.highest),
    ("demand_seats_average", "Average demand of the last period.", lambda at: at.observed.average),
    ("demand_seats_stdev", "Deviation of the demand of the last period.", lambda at: at.observed.deviation),
    ("demand_seats_smoothed", "Smoothed demand.", lambda at: at.smoothed),
    ("target_seats", "Seats that a level should get.", lambda at: at.target),
    ("current_r", "R (virtual time) of a level.", lambda at: at.queues.r),
)
_OF_SCHEMAS: tuple[tuple[str, str, Callable[[SchemaStats], float]], ...] = (
    ("current_inqueue_requests", "Requests that wait.", lambda at: at.inqueue),
    ("current_inqueue_seats", "Seats of the requests that wait.", lambda at: at.inqueue_seats),
    ("current_executing_requests", "Requests in their initial stage.", lambda at: at.executing),
    ("current_executing_seats", "Seats in use.", lambda at: at.seats),
)


class _Histogram(Family):
    """Distributions that the statistics of schemas hold."""

    def __init__(self, name: str, help: str, labels: Iterable[str]) -> None:
        super().__init__(_PREFIX + name, help, labels, "histogram", alpha=True)
        self.read: Callable[[], Iterable[tuple[Labels, Distribution]]] = tuple

    def lines(self) -> Iterator[str]:
        """See :class:`Family`."""
        return self.write(self._samples())

    def _samples(self) -> Iterator[Sample]:
        for at, series in self.read():
            total = 0
            for bound, count in zip((*series.bounds, "+Inf"), series.counts, strict=True):
                total += count
                yield "_bucket", self.braces(at, f'le="{bound}"'), total
            yield "_sum", self.braces(at), series.sum
            yield "_count", self.braces(at), total


_LEVEL_FAMILIES = [Computed(_PREFIX + n, h, _LEVEL, alpha=True) for n, h, _ in _OF_LEVELS]
_SCHEMA_FAMILIES = [Computed(_PREFIX + n, h, _SCHEMA, alpha=True) for n, h, _ in _OF_SCHEMAS]
_DISPATCHED = Computed(_PREFIX + "dispatched_requests_total", "Requests started.", _SCHEMA, type="counter")
_REJECTED = Computed(
    _PREFIX + "rejected_requests_total", "Requests refused.", (*_SCHEMA, "reason"), type="counter"
)
_NARROW = Computed(
    _PREFIX + "request_dispatch_no_accommodation_total",
    "Times that a request at the head of its queue found too few seats.",
    _SCHEMA,
    type="counter",
    alpha=True,
)
_FRACTION = Computed(_PREFIX + "seat_fair_frac", "Fraction of its demand that a level can get.", alpha=True)
_WAITED = _Histogram("request_wait_duration_seconds", "Seconds in queue.", (*_SCHEMA, "execute"))
_EXECUTION = _Histogram("request_execution_seconds", "Seconds of execution.", _SCHEMA)
_LENGTH = _Histogram("request_queue_length_after_enqueue", "Length of the queue joined.", _SCHEMA)
_WORK = _Histogram("work_estimated_seats", "Seats of requests.", _SCHEMA)


def publish(levels: Levels) -> None:
    """Write down these levels when metrics are asked for."""
    for family, (_, _, read) in zip(_LEVEL_FAMILIES, _OF_LEVELS, strict=True):
        family.read = _per_level(levels, read)
    for family, (_, _, number) in zip(_SCHEMA_FAMILIES, _OF_SCHEMAS, strict=True):
        family.read = _per_schema(levels, number)
    _DISPATCHED.read = _per_schema(levels, lambda at: at.dispatched)
    _NARROW.read = _per_schema(levels, lambda at: at.unaccommodated)
    _FRACTION.read = lambda: [((), levels.fraction)]
    _REJECTED.read = lambda: [
        ((at.level, at.schema, reason), count)
        for at in levels.all_stats()
        for reason, count in at.refused.items()
    ]
    _WAITED.read = lambda: [
        ((at.level, at.schema, executed), series)
        for at in levels.all_stats()
        for executed, series in at.waited.items()
    ]
    _EXECUTION.read = _series(levels, lambda at: at.execution)
    _LENGTH.read = _series(levels, lambda at: at.queue_length)
    _WORK.read = _series(levels, lambda at: at.works())


def _per_level(levels: Levels, read: Callable[[Level], float]) -> Callable[[], list[tuple[Labels, float]]]:
    return lambda: [((name,), read(level)) for name, level in levels.levels.items()]


def _per_schema(
    levels: Levels, read: Callable[[SchemaStats], float]
) -> Callable[[], list[tuple[Labels, float]]]:
    return lambda: [((at.level, at.schema), read(at)) for at in levels.all_stats()]


def _series(
    levels: Levels, read: Callable[[SchemaStats], Distribution]
) -> Callable[[], list[tuple[Labels, Distribution]]]:
    return lambda: [((at.level, at.schema), read(at)) for at in levels.all_stats()]
