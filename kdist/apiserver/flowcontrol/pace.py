"""The pace of one event loop: how much may start before the loop looks for new requests again.

Seats say how many requests may be under way together. In one process that runs one thing at a time this is not
enough: what a hundred connections sent during one turn of the loop would all run before anybody else is even
heard. A :class:`Pace` gives every few milliseconds a budget of seats, learnt from the processor time that seats
have cost. What comes beyond it waits in its queue until the loop has turned, so that fair order holds among what
is waiting for the processor, too.

A server with time to spare never reaches the budget; exempt levels do not count. The price of a request within
the budget is a subtraction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

WINDOW_SECONDS = 0.004  # of work at a time: what a request that just came may have to wait for
FIRST_GUESS = 0.0004  # seconds of processor per seat, until measured
LEAST_SECONDS = 0.00002  # a budget is finite even where work costs nothing
_RISE, _FALL = 0.5, 0.1  # weight of the newest window in the moving average: slow to trust cheap ones

Soon = Callable[[Callable[[], None]], object]


class Waiting(Protocol):
    """A queue set that has more to start."""

    def dispatch(self) -> None:
        """Start what may start now."""


class Pace:
    """One per process, shared by all limited levels. ``processor`` tells the thread's processor seconds."""

    __slots__ = (
        "_cost",
        "_processor",
        "_soon",
        "_spent_before",
        "_turning",
        "_waiting",
        "began",
        "left",
        "open",
    )

    def __init__(self, processor: Callable[[], float], soon: Soon) -> None:
        self._processor, self._soon = processor, soon
        self._cost = FIRST_GUESS
        self._spent_before = processor()
        self._turning = False
        self._waiting: dict[Waiting, None] = {}
        self.began = 0.0
        self.left = self.budget
        self.open = True  # whether anything may start

    @property
    def budget(self) -> float:
        """Seats per window."""
        return max(1.0, WINDOW_SECONDS / self._cost)

    def spend(self, seats: int, now: float) -> None:
        """A request starts."""
        if now - self.began > WINDOW_SECONDS:
            self._window(now)
        self.left -= seats
        if self.left <= 0:
            self.open = False
            if not self._turning:
                self._turn()

    def wants_turn(self, who: Waiting) -> None:
        """Call ``who`` when the loop has turned."""
        self._waiting[who] = None
        if not self._turning:
            self._turn()

    def _window(self, now: float) -> None:
        """Learn what the last window's seats have cost, and begin another."""
        spent, processor = self.budget - self.left, self._processor()
        if spent >= 1:
            cost = max(LEAST_SECONDS, (processor - self._spent_before) / spent)
            self._cost += (_RISE if cost > self._cost else _FALL) * (cost - self._cost)
        self._spent_before = processor
        self.began = now
        self.left = self.budget

    def _turn(self) -> None:
        self._turning = True
        self._soon(self._middle)

    def _middle(self) -> None:
        """Two calls later: those woken just now run, and those heard of meanwhile queue, before the next start."""
        self._soon(self._next)

    def _next(self) -> None:
        self._turning = False
        self._window(self.began)
        self.open = True
        waiting, self._waiting = self._waiting, {}
        late = []
        for who in waiting:
            if self.open:
                who.dispatch()
            else:
                late.append(who)
        self._waiting = {**dict.fromkeys(late), **self._waiting}  # those left over come first next time
        if self._waiting and not self._turning:
            self._turn()
