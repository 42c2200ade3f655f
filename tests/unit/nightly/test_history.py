"""The checker of histories finds what it is there to find."""

from __future__ import annotations

from tests.nightly.history import Attempt, faults


def create(name: str, outcome: str) -> Attempt:
    return Attempt("a", "create", name, "1", outcome)


def count(value: int, outcome: str) -> Attempt:
    return Attempt("a", "count", "counter", str(value), outcome)


def test_a_lost_acknowledged_write_is_found() -> None:
    assert faults([create("x", "ok")], {}) == ["x was acknowledged to a and is lost"]


def test_a_write_without_an_answer_may_or_may_not_be_there() -> None:
    assert faults([create("x", "unknown")], {}) == faults([create("x", "unknown")], {"x": "1"}) == []


def test_a_refused_write_that_is_there_is_found() -> None:
    assert faults([create("x", "refused")], {"x": "1"}) == ["x was refused to a and is there"]


def test_another_value_and_an_object_from_nowhere_are_found() -> None:
    assert faults([create("x", "ok")], {"x": "2", "y": "1"}) == [
        "x is 2, a wrote 1",
        "y is there though nobody tried to write it",
    ]


def test_a_counter_that_went_back_is_found() -> None:
    history = [count(1, "ok"), count(2, "ok"), count(3, "unknown")]
    assert faults(history, {"counter": "2"}) == faults(history, {"counter": "3"}) == []
    assert faults(history, {"counter": "1"}) == ["counter is 1, but 2 was acknowledged"]
    assert faults(history, {"counter": "4"}) == ["counter is 4, more than anybody wrote"]


def test_a_number_that_was_given_twice_is_a_lost_update() -> None:
    assert "acknowledged twice" in faults([count(1, "ok"), count(1, "ok")], {"counter": "1"})[0]
