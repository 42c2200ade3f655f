"""The runtime's log files as clients see them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kdist.agent.server import logs
from kdist.agent.server.logformat import BadOption, LogFilter, LogOptions, read_options

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _line(second: int, text: str, *, stream: str = "stdout", tag: str = "F") -> bytes:
    return f"2026-01-02T03:04:{second:02}.123456789Z {stream} {tag} {text}\n".encode()


def _read(path: Path, options: LogOptions) -> bytes:
    async def collect() -> bytes:
        return b"".join([piece async for piece in logs.read(path, options, lambda: False)])

    return asyncio.run(collect())


def test_partial_lines_become_one_with_one_timestamp() -> None:
    piece = _line(1, "a", tag="P") + _line(1, "b", tag="P") + _line(2, "c")
    assert LogFilter(LogOptions()).feed(piece) == b"abc\n"
    assert LogFilter(LogOptions(timestamps=True)).feed(piece) == b"2026-01-02T03:04:01.123456789Z abc\n"


def test_a_line_cut_by_reading_is_put_together() -> None:
    shown = LogFilter(LogOptions())
    whole = _line(1, "hello")
    assert shown.feed(whole[:10]) + shown.feed(whole[10:]) == b"hello\n"


def test_since_stream_and_limit_choose() -> None:
    piece = _line(1, "old") + _line(9, "new") + _line(9, "bad", stream="stderr")
    assert LogFilter(LogOptions(since=NOW)).feed(piece) == b"new\nbad\n"
    assert LogFilter(LogOptions(stream="Stderr")).feed(piece) == b"bad\n"
    limited = LogFilter(LogOptions(limit=5))
    assert limited.feed(piece) == b"old\nn"
    assert limited.done


@pytest.mark.parametrize("count", [0, 1, 2, 3, 9])
def test_tail_is_the_last_lines(tmp_path: Path, count: int) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(b"".join(_line(n, f"line{n}") for n in range(3)))
    wanted = b"".join(f"line{n}\n".encode() for n in range(3)[max(0, 3 - count) :]) if count else b""
    assert _read(path, LogOptions(tail=count)) == wanted


def test_tail_reads_back_over_many_blocks(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(b"".join(_line(1, "x" * 1000) for _ in range(500)))
    assert _read(path, LogOptions(tail=200)).count(b"\n") == 200


def test_follower_reads_what_was_written_before_the_end_and_follows_rotation(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(_line(1, "first"))
    steps = iter(["more", "rotate", "last", "stop"])

    def running() -> bool:
        step = next(steps)
        if step == "more":
            with path.open("ab") as file:
                file.write(_line(2, "second"))
        elif step == "rotate":
            path.rename(tmp_path / "0.log.1")
            path.write_bytes(_line(3, "third"))
        return step != "stop"

    async def collect() -> bytes:
        options = LogOptions(follow=True)
        return b"".join([piece async for piece in logs.read(path, options, running)])

    logs_every, logs.LOOK_EVERY = logs.LOOK_EVERY, 0.0
    try:
        assert asyncio.run(collect()) == b"first\nsecond\nthird\n"
    finally:
        logs.LOOK_EVERY = logs_every


@pytest.mark.parametrize(
    "query",
    [
        {"tailLines": "-1"},
        {"limitBytes": "0"},
        {"sinceTime": "yesterday"},
        {"sinceTime": "2026-01-01T00:00:00Z", "sinceSeconds": "1"},
        {"follow": "perhaps"},
        {"stream": "Both"},
    ],
)
def test_bad_options_are_named(query: dict[str, str]) -> None:
    with pytest.raises(BadOption, match=next(iter(query))):
        read_options(query, NOW)
