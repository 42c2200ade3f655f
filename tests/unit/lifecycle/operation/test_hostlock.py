"""The operator's lock as a host keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kdist.lifecycle.operation import hostlock

ALICE = {"id": "a", "owner": "alice", "host": "laptop", "command": "kdist upgrade apply", "pid": 1}
BOB = {"id": "b", "owner": "bob", "host": "desk", "command": "site.yml", "pid": 2}


def ask(directory: Path, action: str, record: dict[str, Any] | None, now: float, over: str = "") -> Any:
    return hostlock.answer({"action": action, "record": record, "over": over}, str(directory), now)


def test_the_first_who_asks_has_it_and_the_second_hears_who_and_since_when(tmp_path: Path) -> None:
    assert ask(tmp_path, "take", ALICE, 100)["taken"]
    answer = ask(tmp_path, "take", BOB, 160)
    assert not answer["taken"]
    assert answer["held"] == {**ALICE, "since": 100}
    assert answer["now"] - answer["held"]["since"] == 60


def test_asking_again_keeps_the_time_at_which_it_was_taken(tmp_path: Path) -> None:
    ask(tmp_path, "take", ALICE, 100)
    assert ask(tmp_path, "take", ALICE, 200)["held"]["since"] == 100


def test_only_the_named_holder_or_any_is_displaced(tmp_path: Path) -> None:
    ask(tmp_path, "take", ALICE, 100)
    assert not ask(tmp_path, "take", BOB, 110, over="c")["taken"]
    assert ask(tmp_path, "take", BOB, 110, over="a")["taken"]
    assert ask(tmp_path, "take", ALICE, 120, over="*")["taken"]


def test_nobody_gives_back_what_another_holds(tmp_path: Path) -> None:
    ask(tmp_path, "take", ALICE, 100)
    assert ask(tmp_path, "release", BOB, 110)["held"]["id"] == "a"
    assert ask(tmp_path, "release", ALICE, 110)["held"] is None
    assert ask(tmp_path, "take", BOB, 120)["taken"]


def test_a_record_that_a_crash_damaged_still_keeps_others_out(tmp_path: Path) -> None:
    (tmp_path / hostlock.FILE).write_text("{")
    assert not ask(tmp_path, "take", BOB, 110)["taken"]
    assert ask(tmp_path, "take", BOB, 110, over="*")["taken"]


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    assert ask(tmp_path / "absent", "show", None, 1)["held"] is None
    assert not (tmp_path / "absent").exists()


def test_a_host_without_kdist_is_left_as_it_was(tmp_path: Path) -> None:
    directory = tmp_path / "kdist"
    ask(directory, "take", ALICE, 100)
    ask(directory, "release", ALICE, 110)
    assert not directory.exists()
    assert ask(directory, "release", ALICE, 120)["held"] is None
    assert not directory.exists()
