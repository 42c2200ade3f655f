"""Metrics as plain numbers, written in Prometheus' text format and merged from several processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kdist.apiserver import peers
from kdist.telemetry import merging, series
from kdist.telemetry.series import Computed, Distributions, Values


@pytest.fixture(autouse=True)
def own_families(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "FAMILIES", [])


def test_what_is_written_is_what_prometheus_reads() -> None:
    Values("requests_total", "Requests.", ("verb",)).at('G"E\\T\n').value += 3
    seconds = Distributions("seconds", "Seconds.", ("verb",), bounds=(0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7):
        seconds.at("GET").observe(value)
    Computed("now", "A gauge.").read = lambda: [((), 1.5)]
    text = "\n".join(line for family in series.FAMILIES for line in family.lines()) + "\n"
    found = {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }
    assert found["requests_total", (("verb", 'G"E\\T\n'),)] == 3
    assert found["seconds_bucket", (("le", "0.1"), ("verb", "GET"))] == 2
    assert found["seconds_bucket", (("le", "1"), ("verb", "GET"))] == 3
    assert found["seconds_bucket", (("le", "+Inf"), ("verb", "GET"))] == 4
    assert found["seconds_count", (("verb", "GET"),)] == 4
    assert found["now", ()] == 1.5


def test_a_family_without_series_is_not_written() -> None:
    Values("nothing_total", "Nothing.")
    assert list(series.FAMILIES[0].lines()) == []


ONE = """# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{code="200"} 3
# HELP apiserver_storage_objects Objects.
# TYPE apiserver_storage_objects gauge
apiserver_storage_objects{resource="pods"} 10
# HELP process_start_time_seconds Start.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 100.5
"""
TWO = """# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{code="200"} 4
requests_total{code="404"} 1
# HELP apiserver_storage_objects Objects.
# TYPE apiserver_storage_objects gauge
apiserver_storage_objects{resource="pods"} 11
# HELP process_start_time_seconds Start.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 99.5
"""


def test_processes_add_up_and_what_all_know_is_told_once() -> None:
    lines = merging.merge([ONE, TWO]).splitlines()
    assert lines == [
        "# HELP requests_total Requests.",
        "# TYPE requests_total counter",
        'requests_total{code="200"} 7',
        'requests_total{code="404"} 1',
        "# HELP apiserver_storage_objects Objects.",
        "# TYPE apiserver_storage_objects gauge",
        'apiserver_storage_objects{resource="pods"} 11',
        "# HELP process_start_time_seconds Start.",
        "# TYPE process_start_time_seconds gauge",
        "process_start_time_seconds 99.5",
    ]


async def test_a_worker_answers_for_all_and_counts_who_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(peers.DIRECTORY, str(tmp_path))
    series.FAMILIES.append(peers._WORKERS)
    requests = Values("requests_total", "Requests.")
    requests.at().value = 5

    async def other(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"# HELP requests_total Requests.\n# TYPE requests_total counter\nrequests_total 7\n")
        writer.close()

    server = await asyncio.start_unix_server(other, tmp_path / "1.sock")
    (tmp_path / "2.sock").touch()
    async with peers.listening():
        text = (await peers.exposition()).decode()
    server.close()
    assert "requests_total 12\n" in text
    assert 'kdist_apiserver_workers{state="answered"} 2' in text
    assert 'kdist_apiserver_workers{state="silent"} 1' in text
