"""How events reach a backend: at once, at once but never in the way, or later in batches; and cut to size."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Protocol

from kdist.apiserver.audit.events import Event, fitted
from kdist.telemetry import log
from kdist.telemetry.series import Values

_log = log.get(__name__)
BURST = 15  # batches that may go at once after a quiet time
TOLD_EVERY = 10.0  # seconds between two logs of lost events
SENDING = 10  # batches under way together
_ERRORS = Values("apiserver_audit_error_total", "Audit events lost.", ("plugin",), alpha=True)


class Backend(Protocol):
    """Somewhere events go."""

    async def process(self, events: list[Event]) -> bool:
        """Take events; whether they are kept."""

    async def run(self) -> None:
        """Work in the background until cancelled."""

    async def close(self) -> None:
        """Deliver what is still here."""


_told: dict[str, float] = {}


def lost(plugin: str, count: int, why: str) -> None:
    """Count lost events, and say so now and then."""
    _ERRORS.at(plugin).value += count
    now = time.monotonic()
    if now - _told.get(plugin, -TOLD_EVERY) >= TOLD_EVERY:
        _told[plugin] = now
        _log.error("audit events were lost", plugin=plugin, events=count, why=why)


class Around:
    """A backend in front of another one."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def process(self, events: list[Event]) -> bool:
        """See :class:`Backend`."""
        return await self._backend.process(events)

    async def run(self) -> None:
        """See :class:`Backend`."""
        await self._backend.run()

    async def close(self) -> None:
        """See :class:`Backend`."""
        await self._backend.close()


class Blocking(Around):
    """The request waits for the backend, but does not fail with it."""

    async def process(self, events: list[Event]) -> bool:
        """See :class:`Backend`."""
        await self._backend.process(events)
        return True


class Fitting(Around):
    """Large events lose their objects, and batches are split."""

    def __init__(self, backend: Backend, most: int, batch: int) -> None:
        super().__init__(backend)
        if most <= 0 or batch < most:
            raise ValueError(
                "audit truncation: the sizes of an event and a batch must be positive, a batch the larger"
            )
        self._most, self._batch = most, batch

    async def process(self, events: list[Event]) -> bool:
        """See :class:`Backend`."""
        batches, dropped = fitted(events, self._most, self._batch)
        if dropped:
            lost("truncate", dropped, "the event is too large even without its objects")
        kept = [await self._backend.process(batch) for batch in batches]
        return all(kept)


class Buffered(Around):
    """Events wait for a batch to be full or old enough; beyond ``buffer`` events they are lost."""

    def __init__(
        self, backend: Backend, name: str, *, buffer: int, size: int, wait: float, qps: float = 0.0
    ) -> None:
        super().__init__(backend)
        self._name, self._buffer, self._size, self._wait, self._qps = name, buffer, size, wait, qps
        self._events: list[Event] = []
        self._woken = asyncio.Event()
        self._tokens, self._refilled = float(BURST), time.monotonic()
        self._sending: set[asyncio.Task[bool]] = set()

    async def process(self, events: list[Event]) -> bool:
        """Keep events for later; never refuses."""
        room = self._buffer - len(self._events)
        self._events += events[:room]
        if len(events) > room:
            lost("buffered", len(events) - room, f"the buffer of {self._buffer} events is full")
        if len(self._events) >= self._size:
            self._woken.set()
        return True

    async def run(self) -> None:
        """Send batches until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._backend.run(), name=f"audit-{self._name}")
            while True:
                await self._next_batch()

    async def _next_batch(self) -> None:
        if len(self._events) < self._size:
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait or None):
                    await self._woken.wait()
        if not self._events:
            return
        await self._throttle()
        while len(self._sending) >= SENDING:
            await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
        self._send()

    def _send(self) -> None:
        batch, self._events = self._events[: self._size], self._events[self._size :]
        task = asyncio.create_task(self._backend.process(batch), name=f"audit-{self._name}-batch")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _throttle(self) -> None:
        if not self._qps:
            return
        now = time.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._refilled) * self._qps)
        self._refilled = now
        if self._tokens < 1:
            await asyncio.sleep((1 - self._tokens) / self._qps)
        self._tokens -= 1

    async def close(self) -> None:
        """Send the rest."""
        while self._events:
            self._send()
        if self._sending:
            await asyncio.wait(self._sending, timeout=10.0)
        await super().close()
