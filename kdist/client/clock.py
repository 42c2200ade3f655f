"""Time as the queues see it, so that tests can turn the hands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Do not make the call."""


class Clock(Protocol):
    """What an event loop offers: a running asyncio loop is a Clock."""

    def time(self) -> float:
        """Seconds on a clock that only goes forward."""

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call back after ``delay`` seconds."""


class VirtualClock:
    """A clock that stands still until :meth:`advance` is called, for tests and simulations."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._calls: list[_Call] = []

    def time(self) -> float:
        """Where the hands are."""
        return self._now

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Note a call; :meth:`advance` makes it."""
        call = _Call(self._now + delay, callback, args)
        self._calls.append(call)
        return call

    def advance(self, seconds: float) -> None:
        """Turn the hands, making the calls that fall due in their order."""
        end = self._now + seconds
        while due := [c for c in self._calls if c.when <= end]:
            call = min(due, key=lambda c: c.when)
            self._calls.remove(call)
            self._now = max(self._now, call.when)
            if not call.cancelled:
                call.callback(*call.args)
        self._now = end


class _Call:
    def __init__(self, when: float, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.when, self.callback, self.args = when, callback, args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
