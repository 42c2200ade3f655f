"""Rounds of watches, on a clock that stands still unless a speaker takes its time."""

from __future__ import annotations

from collections.abc import Callable

from kdist.apiserver.handlers.rounds import LONGEST_PAUSE, PAUSE_SHARE, SLICE_SECONDS, Rounds


class Loop:
    def __init__(self) -> None:
        self.now = 0.0
        self.planned: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        self.planned.append((self.now + seconds, what))

    def turn(self) -> None:
        at, what = self.planned.pop(0)
        self.now = max(self.now, at)
        what()


class Watch:
    def __init__(self, loop: Loop, heard: list[tuple[str, float]], name: str, seconds: float = 0.0) -> None:
        self._loop, self._heard, self._name, self._seconds = loop, heard, name, seconds

    def speak(self) -> None:
        self._heard.append((self._name, self._loop.now))
        self._loop.now += self._seconds


def test_the_first_to_speak_do_so_in_the_next_turn() -> None:
    loop, heard = Loop(), []
    rounds = Rounds(lambda: loop.now, loop.later)
    rounds.add(Watch(loop, heard, "a"))
    rounds.add(Watch(loop, heard, "b"))
    loop.turn()
    assert heard == [("a", 0.0), ("b", 0.0)]
    assert not loop.planned


def test_a_round_is_followed_by_a_pause_that_grows_with_it() -> None:
    loop, heard = Loop(), []
    rounds = Rounds(lambda: loop.now, loop.later)
    rounds.add(Watch(loop, heard, "slow", 0.003))
    loop.turn()
    rounds.add(Watch(loop, heard, "next"))
    loop.turn()
    assert heard == [("slow", 0.0), ("next", 0.003 * (1 + PAUSE_SHARE))]


def test_a_long_round_lets_others_have_the_loop_in_between() -> None:
    loop, heard = Loop(), []
    rounds = Rounds(lambda: loop.now, loop.later)
    for name in "abc":
        rounds.add(Watch(loop, heard, name, SLICE_SECONDS))
    loop.turn()
    assert [name for name, _ in heard] == ["a"]
    rounds.add(Watch(loop, heard, "late"))
    loop.turn()
    loop.turn()
    assert [name for name, _ in heard] == ["a", "b", "c"]
    loop.turn()
    assert heard[-1] == ("late", 3 * SLICE_SECONDS + LONGEST_PAUSE)
