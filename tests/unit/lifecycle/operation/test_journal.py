"""A journal that another process can go on with."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdist.lifecycle.operation.journal import (
    Entry,
    Journal,
    JournalError,
    JournalFile,
    Recorder,
    State,
    newer,
)


def journal() -> Journal:
    return Journal("upgrade", [Entry("cp1/drain", "cp1", "drain it"), Entry("cp1/upgrade", "cp1")])


async def test_a_step_is_on_disk_before_it_begins_and_after_it_ended(tmp_path: Path) -> None:
    file = JournalFile(tmp_path / "j.json")
    recorder = Recorder(file, journal())
    async with recorder.step("cp1/drain") as entry:
        assert _stored(file).entry("cp1/drain").state is State.RUNNING
        entry.detail = "3 pods"
    stored = _stored(file).entry("cp1/drain")
    assert (stored.state, stored.detail) == (State.DONE, "3 pods")
    assert stored.began is not None and stored.ended is not None


async def test_a_step_that_fails_says_why(tmp_path: Path) -> None:
    file = JournalFile(tmp_path / "j.json")
    recorder = Recorder(file, journal())
    with pytest.raises(RuntimeError):
        async with recorder.step("cp1/drain"):
            raise RuntimeError("no room")
    assert (_stored(file).entry("cp1/drain").state, _stored(file).entry("cp1/drain").detail) == (
        State.FAILED,
        "no room",
    )


async def test_what_was_begun_is_left_to_do_after_a_kill(tmp_path: Path) -> None:
    file = JournalFile(tmp_path / "j.json")
    recorder = Recorder(file, journal())
    await recorder.mark(recorder.journal.entry("cp1/drain"), State.RUNNING)
    found = _stored(file)
    assert [entry.name for entry in Recorder(file, found).left()] == ["cp1/drain", "cp1/upgrade"]


async def test_the_copy_that_knows_more_is_the_newer(tmp_path: Path) -> None:
    file = JournalFile(tmp_path / "j.json")
    recorder = Recorder(file, journal())
    await recorder.write()
    old = _stored(file)
    await recorder.finish(State.DONE)
    assert newer(old, _stored(file)) == _stored(file)
    assert newer(None, old) == old
    assert newer(None, None) is None


def test_a_damaged_journal_is_told_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "j.json"
    path.write_text("{}")
    with pytest.raises(JournalError, match=str(path)):
        JournalFile(path).load()


def _stored(file: JournalFile) -> Journal:
    found = file.load()
    assert found is not None
    return found
