"""When watches write: everyone who has something to say, one after the other, round by round.

A change is written in the turn of the loop in which it arrived, without waking a task per watch: with 50 watches
that was half of the cost of an event. After a round the next one waits as long as that one took. With few watches
this is no delay to speak of; with many, changes gather meanwhile, one write carries several of them, and watches
take at most half of the loop however much there is to tell.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

SLICE_SECONDS = 0.005  # a round lets others have the loop after this time
LONGEST_PAUSE = 0.1  # seconds


class Speaker(Protocol):
    """A watch that waits for its turn."""

    def speak(self) -> None:
        """Write what is pending. Must not block, must not raise."""


class Rounds:
    """The order of turns in one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: deque[Speaker] = deque()
        self._planned = False
        self._begun = 0.0
        self._next = 0.0  # no round begins before

    def add(self, speaker: Speaker) -> None:
        """Give the speaker one turn in the next round."""
        self._due.append(speaker)
        if self._planned:
            return
        self._planned = True
        loop = asyncio.get_running_loop()
        pause = self._next - self._clock()
        if pause > 0:
            loop.call_later(pause, self._begin)
        else:
            loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._begun = self._clock()
        self._go_on(len(self._due))

    def _go_on(self, turns: int) -> None:
        """As many turns of the round as fit into a slice; who comes meanwhile is in the next round."""
        until = self._clock() + SLICE_SECONDS
        while turns and self._clock() < until:
            self._due.popleft().speak()
            turns -= 1
        if turns:
            asyncio.get_running_loop().call_soon(self._go_on, turns)
            return
        now = self._clock()
        self._next = now + min(now - self._begun, LONGEST_PAUSE)
        self._planned = False
        if self._due:
            self.add(self._due.popleft())
