"""Where audit events go: the file that turns over, batches, sizes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from kdist.apiserver.audit.batching import Blocking, Buffered, Fitting
from kdist.apiserver.audit.events import TRUNCATED, Event, event_list, without_managed_fields
from kdist.apiserver.audit.logfile import LogFile


def event(number: int = 0, **more: object) -> Event:
    data = {
        "auditID": str(number),
        "stage": "ResponseComplete",
        "verb": "get",
        "requestURI": "/api",
        "requestReceivedTimestamp": "2026-01-01T00:00:00.000000Z",
    }
    return Event.of({**data, **more})


class Sink:
    """Remembers, or fails."""

    def __init__(self, *, works: bool = True) -> None:
        self.batches: list[list[Event]] = []
        self.works = works
        self.arrived = asyncio.Event()

    async def process(self, events: list[Event]) -> bool:
        self.batches.append(events)
        self.arrived.set()
        return self.works

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


async def test_the_log_has_one_line_per_event(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "audit.log"
    log = LogFile(str(path))
    assert await log.process([event(1), event(2)])
    assert [line[:14] for line in path.read_text().splitlines()] == ['{"auditID":"1"', '{"auditID":"2"']
    assert path.stat().st_mode & 0o777 == 0o600


async def test_the_legacy_format_is_a_line_of_text(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "a.log"), legacy=True)
    await log.process([event(1, user={"username": "alice"}, responseStatus={"code": 200})])
    assert (tmp_path / "a.log").read_text() == (
        '2026-01-01T00:00:00.000000Z AUDIT: id="1" stage="ResponseComplete" ip="<unknown>" method="get" '
        'user="alice" groups="<none>" as="<self>" asgroups="<lookup>" user-agent="" namespace="<none>" '
        'uri="/api" response="200"\n'
    )


async def test_a_log_that_is_too_large_is_turned_over_and_old_ones_go(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "a.log"), max_megabytes=1, max_backups=2)
    large = event(1, requestObject="x" * 700_000)
    for _ in range(6):
        assert await log.process([large])
    names = sorted(p.name for p in tmp_path.iterdir())
    assert len(names) == 3
    assert (tmp_path / "a.log").stat().st_size < 1024 * 1024


async def test_turned_over_logs_can_be_compressed(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "a.log"), max_megabytes=1, compress=True)
    for _ in range(2):
        await log.process([event(1, requestObject="x" * 700_000)])
    packed = next(tmp_path.glob("*.gz"))
    assert packed.stat().st_size < 10_000


async def test_backups_go_by_age(tmp_path: Path) -> None:
    old = tmp_path / "a-2020-01-01T00-00-00.000.log"
    old.write_text("old")
    os.utime(old, (1, 1))
    log = LogFile(str(tmp_path / "a.log"), max_megabytes=1, max_days=1)
    for _ in range(2):
        await log.process([event(1, requestObject="x" * 700_000)])
    assert not old.exists()


async def test_a_second_process_follows_the_file_that_has_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    one, two = LogFile(str(path), max_megabytes=1), LogFile(str(path), max_megabytes=1)
    for _ in range(2):
        await one.process([event(1, requestObject="x" * 700_000)])
    await two.process([event(2)])
    assert '"auditID":"2"' in path.read_text().splitlines()[-1]


async def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "a.log"))
    await log.close()
    (tmp_path / "a.log").unlink()
    assert not await log.process([event(1)])


async def test_blocking_hides_failures_from_requests() -> None:
    sink = Sink(works=False)
    assert not await sink.process([event(1)])
    assert await Blocking(sink).process([event(1)])


async def test_events_go_in_batches_when_there_are_enough() -> None:
    sink = Sink()
    buffered = Buffered(sink, "test", buffer=100, size=3, wait=60.0)
    task = asyncio.create_task(buffered.run())
    for number in range(3):
        await buffered.process([event(number)])
    await sink.arrived.wait()
    assert [len(batch) for batch in sink.batches] == [3]
    task.cancel()


async def test_what_is_buffered_is_sent_at_the_end() -> None:
    sink = Sink()
    buffered = Buffered(sink, "test", buffer=100, size=3, wait=60.0)
    for number in range(4):
        await buffered.process([event(number)])
    await buffered.close()
    assert [len(batch) for batch in sink.batches] == [3, 1]


async def test_a_full_buffer_loses_events_and_refuses_nobody() -> None:
    sink = Sink()
    buffered = Buffered(sink, "test", buffer=2, size=100, wait=60.0)
    assert all([await buffered.process([event(number)]) for number in range(5)])
    await buffered.close()
    assert [len(batch) for batch in sink.batches] == [2]


async def test_large_events_lose_their_objects_and_batches_are_split() -> None:
    sink = Sink()
    fitting = Fitting(sink, 1000, 1500)
    large = event(1, requestObject="x" * 5000)
    hopeless = event(2, userAgent="x" * 5000)
    await fitting.process([large, hopeless, *(event(n, userAgent="y" * 600) for n in range(3))])
    sent = [e for batch in sink.batches for e in batch]
    assert len(sent) == 4
    assert sent[0].data["annotations"] == {TRUNCATED: "true"}
    assert "requestObject" not in sent[0].data
    assert [len(batch) for batch in sink.batches] == [2, 2]


def test_truncation_needs_sensible_sizes() -> None:
    with pytest.raises(ValueError, match="the larger"):
        Fitting(Sink(), 10, 5)


def test_a_webhook_gets_a_list() -> None:
    body = event_list([event(1), event(2)])
    import orjson

    parsed = orjson.loads(body)
    assert (parsed["kind"], parsed["apiVersion"], len(parsed["items"])) == (
        "EventList",
        "audit.k8s.io/v1",
        2,
    )


def test_managed_fields_go_from_objects_lists_and_rows() -> None:
    for text in (
        b'{"metadata":{"name":"a","managedFields":[1]}}',
        b'{"items":[{"metadata":{"managedFields":[1]}}]}',
        b'{"rows":[{"object":{"metadata":{"managedFields":[1]}}}]}',
    ):
        assert b"managedFields" not in without_managed_fields(text)
