"""What is counted per FlowSchema and priority level: plain attributes, changed in place, written when asked."""

from __future__ import annotations

from kdist.telemetry.series import Distribution

_SECONDS = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30)
_LENGTHS = (0, 10, 25, 50, 100, 250, 500, 1000)
_SEATS = (1, 2, 4, 10)


class SchemaStats:
    """The numbers of one schema in one level."""

    __slots__ = (
        "dispatched",
        "executing",
        "execution",
        "inqueue",
        "inqueue_seats",
        "level",
        "queue_length",
        "refused",
        "schema",
        "seats",
        "single",
        "unaccommodated",
        "waited",
        "work",
    )

    def __init__(self, level: str, schema: str) -> None:
        self.level, self.schema = level, schema
        self.dispatched = self.executing = self.seats = 0
        self.inqueue = self.inqueue_seats = self.unaccommodated = 0
        self.single = 0  # requests of one seat that were not observed in ``work``
        self.refused: dict[str, int] = {}
        self.execution = Distribution(_SECONDS)
        self.waited = {"true": Distribution(_SECONDS), "false": Distribution(_SECONDS)}
        self.queue_length = Distribution(_LENGTHS)
        self.work = Distribution(_SEATS)

    def finished(self, seconds: float) -> None:
        """A request has ended; its seats may linger."""
        self.executing -= 1
        self.execution.observe(seconds)

    def queued(self, seats: int, length: int) -> None:
        """A request begins to wait in a queue that is now that long."""
        self.inqueue += 1
        self.inqueue_seats += seats
        self.queue_length.observe(length)

    def unqueued(self, seats: int) -> None:
        """A request waits no more."""
        self.inqueue -= 1
        self.inqueue_seats -= seats

    def works(self) -> Distribution:
        """The seats of all requests."""
        whole = Distribution(_SEATS)
        whole.counts = [self.work.counts[0] + self.single, *self.work.counts[1:]]
        whole.sum = self.work.sum + self.single
        return whole

    def refuse(self, reason: str) -> None:
        """A request is not served."""
        self.refused[reason] = self.refused.get(reason, 0) + 1
