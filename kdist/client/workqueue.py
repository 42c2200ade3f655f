"""A queue of keys: each is worked on by one worker at a time and waits at most once.

Keys may be added now, later, or after a failure with growing delay. A key that is added while being worked on
waits until :meth:`WorkQueue.done`, then is handed out again. Time comes from an injected
:class:`~kdist.client.clock.Clock`, by default the running event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque

from kdist.client import metrics
from kdist.client.clock import Clock, Timer

FIRST_DELAY = 0.005
LONGEST_DELAY = 1000.0
# All retries of one queue together: this many a second, after a burst.
OVERALL_PER_SECOND = 10.0
OVERALL_BURST = 100


class ShutDown(Exception):
    """The queue was shut down and is empty."""


class RateLimiter:
    """How long a failed key waits: the longer of its own exponential delay and the queue's token bucket."""

    def __init__(self, clock: Clock, first: float = FIRST_DELAY, longest: float = LONGEST_DELAY) -> None:
        self._clock, self._first, self._longest = clock, first, longest
        self._failures: dict[str, int] = {}
        self._tokens = float(OVERALL_BURST)
        self._filled = clock.time()

    def delay(self, key: str) -> float:
        """Count a failure of the key and tell how many seconds it waits."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        own = min(self._longest, self._first * 2.0 ** min(failures, 64))
        return max(own, self._reserve())

    def failures(self, key: str) -> int:
        """How often the key failed since it was forgotten."""
        return self._failures.get(key, 0)

    def forget(self, key: str) -> None:
        """The key succeeded."""
        self._failures.pop(key, None)

    def _reserve(self) -> float:
        now = self._clock.time()
        self._tokens = min(OVERALL_BURST, self._tokens + (now - self._filled) * OVERALL_PER_SECOND)
        self._filled = now
        self._tokens -= 1
        return max(0.0, -self._tokens / OVERALL_PER_SECOND)


class WorkQueue:
    """See the module's text. Make it inside a running loop, or give it a clock."""

    def __init__(self, name: str = "", clock: Clock | None = None) -> None:
        self.name = name
        self._clock: Clock = clock or asyncio.get_running_loop()
        self._limiter = RateLimiter(self._clock)
        self._queue: deque[str] = deque()
        self._dirty: dict[str, float] = {}  # key -> when it was added
        self._working: dict[str, float] = {}  # key -> when it was taken
        self._later: dict[str, tuple[float, Timer]] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, key: str) -> None:
        """Enqueue the key unless it waits already."""
        if self._closed or key in self._dirty:
            return
        self._dirty[key] = self._clock.time()
        if self.name:
            metrics.ADDS.labels(self.name).inc()
        if key not in self._working:
            self._append(key)

    def add_after(self, key: str, seconds: float) -> None:
        """Enqueue the key after a delay; of several delays the one that ends first counts."""
        if seconds <= 0:
            return self.add(key)
        if self._closed:
            return None
        when = self._clock.time() + seconds
        if key in self._later:
            earlier, timer = self._later[key]
            if earlier <= when:
                return None
            timer.cancel()
        self._later[key] = (when, self._clock.call_later(seconds, self._due, key))
        return None

    def add_rate_limited(self, key: str) -> None:
        """Enqueue the key again after a failure."""
        if self.name:
            metrics.RETRIES.labels(self.name).inc()
        self.add_after(key, self._limiter.delay(key))

    def forget(self, key: str) -> None:
        """The key succeeded: its next failure is the first again."""
        self._limiter.forget(key)

    def failures(self, key: str) -> int:
        """How often the key failed in a row."""
        return self._limiter.failures(key)

    async def get(self) -> str:
        """Take the next key; call :meth:`done` with it afterwards. Raises ShutDown."""
        while not self._queue:
            if self._closed:
                raise ShutDown
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake()  # the wake-up was ours; pass it on
                raise
        key, now = self._queue.popleft(), self._clock.time()
        added, self._working[key] = self._dirty.pop(key), now
        if self.name:
            metrics.DEPTH.labels(self.name).set(len(self._queue))
            metrics.QUEUE_SECONDS.labels(self.name).observe(now - added)
        return key

    def done(self, key: str) -> None:
        """The work on the key is over; if it was added meanwhile it waits again."""
        taken = self._working.pop(key)
        if self.name:
            metrics.WORK_SECONDS.labels(self.name).observe(self._clock.time() - taken)
        if key in self._dirty:
            self._append(key)

    def shut_down(self) -> None:
        """Take no more keys; those that wait are still handed out."""
        self._closed = True
        for _, timer in self._later.values():
            timer.cancel()
        self._later.clear()
        while self._getters:
            self._wake()

    def _due(self, key: str) -> None:
        del self._later[key]
        self.add(key)

    def _append(self, key: str) -> None:
        self._queue.append(key)
        if self.name:
            metrics.DEPTH.labels(self.name).set(len(self._queue))
        self._wake()

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
