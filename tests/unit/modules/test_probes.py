"""Probes leave nothing behind and measure where the real thing will be."""

from __future__ import annotations

import struct
from pathlib import Path

from ansible.module_utils import kdist_probes as probes


def test_what_is_not_there_yet_is_measured_where_it_will_be_made(tmp_path: Path) -> None:
    assert probes.existing(str(tmp_path / "var/lib/etcd")) == tmp_path


def test_the_disk_is_measured_and_nothing_is_left(tmp_path: Path) -> None:
    seconds = probes.sync_latency(str(tmp_path / "etcd"))
    assert seconds is not None
    assert seconds > 0
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_written_gives_no_measure() -> None:
    assert probes.sync_latency("/proc/kdist") is None


def test_an_echo_request_has_a_valid_checksum_and_the_size_asked_for() -> None:
    for size in (0, 1, 56, 1472):
        packet = probes._request(4711, 3, size)
        assert len(packet) == 8 + size
        assert probes._checksum(packet) == 0
        assert struct.unpack_from("!BBHHH", packet)[3:] == (4711, 3)


def test_nobody_is_asked_without_peers() -> None:
    assert probes.peers({}) == {}
