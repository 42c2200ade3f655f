"""Snapshots of a real etcd: whole or not there at all, and refused when a byte of them is wrong."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kdist.lifecycle.etcd import snapshots, taking
from kdist.lifecycle.etcd.etcdctl import Etcdctl, EtcdctlError
from kdist.lifecycle.etcd.snapshots import SnapshotError
from kdist.lifecycle.etcd.taking import Settings
from tests.contract.etcd_process import Process


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = Process("n1", tmp_path_factory.mktemp("etcd"))
    process.start("--unsafe-no-fsync")
    for number in range(20):
        process.put(f"/registry/configmaps/default/c{number}", "x" * 1000)
    yield process
    process.stop()


@pytest.fixture
def settings(member: Process, tmp_path: Path) -> Settings:
    pki = tmp_path / "pki"
    for name in ("ca", "front-proxy-ca", "etcd/ca"):
        (pki / name).parent.mkdir(parents=True, exist_ok=True)
        for suffix in (".crt", ".key"):
            (pki / f"{name}{suffix}").write_text(name)
    (pki / "sa.key").write_text("sa")
    (pki / "encryption.yaml").write_text("keys")
    return Settings(
        directory=tmp_path / "snapshots",
        cluster="prod",
        host="cp1",
        api_level="1.32",
        pki_directory=pki,
        endpoint=member.client,
    )


def modes(directory: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in directory.rglob("*") if path.is_file()}


def test_a_snapshot_is_verified_and_says_what_it_is(member: Process, settings: Settings) -> None:
    revision = member.put("/registry/a", "1")
    taken = taking.take(settings, member.etcd, "operator")
    assert (taken.revision, taken.cluster, taken.reason) == (revision, "prod", "operator")
    assert snapshots.verify(settings.directory / taken.name) == (taken, [])
    assert set(taken.files) == {"snapshot.db", "encryption.yaml"}
    assert modes(settings.directory / taken.name) == {0o600}
    last = taking.last(settings.directory)
    assert last and last["succeeded"] and last["name"] == taken.name
    assert f"last_success_revision {revision}" in (settings.directory / "metrics.prom").read_text()


def test_the_secrets_of_control_planes_are_kept_when_the_operator_wants_it(
    member: Process, settings: Settings
) -> None:
    taken = taking.take(replace(settings, pki=True), member.etcd, "operator")
    assert {"pki/ca.key", "pki/etcd/ca.crt", "pki/front-proxy-ca.key", "pki/sa.key"} <= set(taken.files)
    assert modes(settings.directory / taken.name) == {0o600}


@pytest.mark.parametrize("offset", [100, 5000, -1])
def test_a_flipped_byte_is_found(member: Process, settings: Settings, offset: int) -> None:
    directory = settings.directory / taking.take(settings, member.etcd, "operator").name
    database = directory / "snapshot.db"
    content = bytearray(database.read_bytes())
    content[offset] ^= 1
    database.write_bytes(content)
    assert snapshots.verify(directory)[1] == ["snapshot.db was altered: its sha256 is not the manifest's"]
    assert snapshots.verify_database(database)[1] == ["snapshot.db: its checksum is wrong"]


def test_a_missing_and_a_foreign_file_are_named(member: Process, settings: Settings) -> None:
    directory = settings.directory / taking.take(settings, member.etcd, "operator").name
    (directory / "encryption.yaml").rename(directory / "other.yaml")
    assert snapshots.verify(directory)[1] == ["encryption.yaml is missing", "other.yaml is not part of it"]


def test_a_truncated_database_is_refused_before_any_tool_reads_it(
    member: Process, settings: Settings
) -> None:
    directory = settings.directory / taking.take(settings, member.etcd, "operator").name
    database = directory / "snapshot.db"
    database.write_bytes(database.read_bytes()[:10_000])
    assert "cut short" in snapshots.verify_database(database)[1][0]


def test_a_manifest_that_tells_another_revision_is_found(member: Process, settings: Settings) -> None:
    directory = settings.directory / taking.take(settings, member.etcd, "operator").name
    document = json.loads((directory / "manifest.json").read_text())
    (directory / "manifest.json").write_text(json.dumps(document | {"revision": 1}))
    assert "the manifest says" in snapshots.verify(directory)[1][0]


def test_a_machine_without_etcdctl_verifies_checksums_and_the_revision(
    member: Process, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = taking.take(settings, member.etcd, "operator")
    directory = settings.directory / taken.name
    monkeypatch.setenv("PATH", "/nowhere")
    assert snapshots.verify(directory) == (taken, [])
    assert f"revision {taken.revision};" in snapshots.verify_database(directory / "snapshot.db")[0]
    document = json.loads((directory / "manifest.json").read_text())
    (directory / "manifest.json").write_text(json.dumps(document | {"revision": 1}))
    assert "the manifest says" in snapshots.verify(directory)[1][0]


def test_old_snapshots_go_when_a_new_one_is_there(member: Process, settings: Settings) -> None:
    few = replace(settings, keep=2)
    taken = []
    for number in range(4):
        member.put("/registry/b", str(number))
        taken.append(
            taking.take(few, member.etcd, "schedule", datetime(2026, 11, 21, number, tzinfo=UTC)).name
        )
    assert snapshots.names(settings.directory) == taken[-2:]


def test_without_etcd_there_is_no_snapshot_the_old_ones_stay_and_the_failure_is_told(
    member: Process, settings: Settings
) -> None:
    taken = taking.take(settings, member.etcd, "schedule")
    with pytest.raises(SnapshotError, match="endpoint status"):
        taking.take(replace(settings, endpoint="http://127.0.0.1:1", keep=1), Etcdctl([], None), "schedule")
    assert snapshots.names(settings.directory) == [taken.name]
    assert list(settings.directory.glob(".partial*")) == []
    last = taking.last(settings.directory)
    assert last and not last["succeeded"] and "endpoint status" in last["error"]
    metrics = (settings.directory / "metrics.prom").read_text()
    assert "last_attempt_succeeded 0" in metrics and f"revision {taken.revision}" in metrics


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 KiB: too small for the database of a cluster."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_while_a_snapshot_is_written_leaves_none(
    member: Process, settings: Settings, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The check of free space comes first; somebody else may take the space meanwhile.
    monkeypatch.setattr(taking, "_room", lambda directory, size: None)
    (small_disk / "others").write_bytes(b"x" * 290_000)
    full = replace(settings, directory=small_disk / "snapshots")
    with pytest.raises(SnapshotError, match=r"(?i)no space left"):
        taking.take(full, member.etcd, "schedule")
    assert snapshots.names(full.directory) == []
    assert list(full.directory.glob(".partial*")) == []


def test_a_snapshot_that_would_fill_the_disk_is_not_begun(
    member: Process, settings: Settings, small_disk: Path
) -> None:
    with pytest.raises(SnapshotError, match="0 MiB free"):
        taking.take(replace(settings, directory=small_disk / "snapshots"), member.etcd, "schedule")


def test_what_a_killed_run_left_is_no_snapshot_and_goes_with_the_next(
    member: Process, settings: Settings
) -> None:
    left = settings.directory / ".partial-killed"
    left.mkdir(parents=True)
    (left / "snapshot.db.part").write_bytes(b"half")
    assert snapshots.names(settings.directory) == []
    taking.take(settings, member.etcd, "schedule")
    assert not left.exists()


def test_errors_of_the_tool_are_one_line(member: Process) -> None:
    with pytest.raises(EtcdctlError, match=r"member remove 1: .*not found"):
        member.etcd.run("member", "remove", "1")
