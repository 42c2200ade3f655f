"""What is read from and written to etcd's own files, judged by a real etcd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdist.lifecycle.etcd import bolt, revisions, wal
from kdist.lifecycle.etcd.bolt import BoltError
from kdist.lifecycle.etcd.etcdctl import EtcdctlError, snapshot_status
from kdist.lifecycle.etcd.wal import WalError
from tests.contract.etcd_process import Process


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Process]:
    process = Process("n1", tmp_path)
    process.start("--unsafe-no-fsync")
    yield process
    process.stop()


def database(member: Process) -> Path:
    return member.data / "member/snap/db"


@pytest.mark.parametrize("keys", [0, 3, 200])
def test_a_bumped_database_goes_on_above_the_bump(member: Process, keys: int) -> None:
    for number in range(keys):
        member.put(f"/registry/{number:04}", "v" * 500)
    before = member.etcd.revision()
    if keys == 0:
        member.put("/registry/one", "v")
        before += 1
    member.stop()
    assert revisions.newest(database(member)) == before
    assert revisions.bump(database(member), {"from": "test"}) == before + revisions.BUMP
    member.start()
    assert member.etcd.revision() == before + revisions.BUMP
    assert member.put("/registry/after", "v") == before + revisions.BUMP + 1
    assert len(member.keys("/registry/")) == max(keys, 1) + 1
    note = member.etcd.run("get", revisions.NOTE, "--prefix")["kvs"]
    assert [kv["mod_revision"] for kv in note] == [before + revisions.BUMP]


def test_what_clients_remember_is_compacted_after_a_bump_and_stays_so(member: Process) -> None:
    for number in range(50):
        member.put("/registry/one", str(number))
    member.stop()
    revision = revisions.bump(database(member), {})
    member.start()
    member.etcd.compact(revision)
    with pytest.raises(EtcdctlError, match="compacted"):
        member.etcd.run("get", "/registry/one", f"--rev={revision - 100}")
    member.etcd.defragment(member.client)
    member.stop()
    member.start()
    assert member.etcd.revision() == revision
    assert member.keys("/registry/") == ["/registry/one"]
    assert revisions.newest(database(member)) == revision


def test_a_bump_can_be_repeated(member: Process) -> None:
    member.put("/registry/one", "v")
    for expected in (1, 2):
        member.stop()
        assert revisions.bump(database(member), {}) == 2 + expected * revisions.BUMP
        member.start()
    assert member.etcd.revision() == 2 + 2 * revisions.BUMP


def test_many_writes_after_a_bump_leave_a_sound_database(member: Process, tmp_path: Path) -> None:
    for number in range(300):
        member.put(f"/registry/{number % 40:04}", "v" * 300)
    member.stop()
    revision = revisions.bump(database(member), {})
    member.start()
    for number in range(300):
        member.put(f"/registry/{number % 60:04}", "w" * 300)
    member.etcd.compact(revision + 200)
    member.etcd.save_snapshot(tmp_path / "s.db")  # status of etcdctl checks every page of it
    assert snapshot_status(tmp_path / "s.db")["revision"] == revision + 300
    assert len(member.keys("/registry/")) == 60


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"x" * 9000)
    with pytest.raises(BoltError, match="no database"):
        bolt.Database(tmp_path / "db")


def test_the_log_tells_its_last_entry_and_what_was_committed(member: Process) -> None:
    for number in range(10):
        member.put("/registry/one", str(number))
    status = member.etcd.status(member.client)
    member.stop()
    log = wal.read(member.data / "member")
    assert (log.last, log.term) == (status.committed, status.term)
    assert log.commit <= log.last


def test_a_log_that_a_crash_cut_ends_with_its_last_whole_record(member: Process) -> None:
    for number in range(10):
        member.put("/registry/one", str(number))
    member.stop()
    whole = wal.read(member.data / "member")
    with whole.segment.open("r+b") as file:
        file.seek(whole.end - 8)
        file.write(b"\xff" * 8)
    cut = wal.read(member.data / "member")
    assert cut.end < whole.end


def test_a_directory_without_a_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(WalError, match="holds no log"):
        wal.read(tmp_path)


def test_everything_in_the_log_of_a_survivor_is_kept(tmp_path: Path) -> None:
    """Two of three members are lost; the third has an entry that it never learnt to be committed."""
    three = [Process(f"n{number}", tmp_path) for number in (1, 2, 3)]
    for one in three:
        one.start("--unsafe-no-fsync", cluster=three, wait=False)
    for one in three:
        one.wait_for_quorum()
    three[0].put("/registry/acknowledged", "1")
    leader = next(
        one for one in three if one.etcd.status(one.client).leader == one.etcd.status(one.client).member
    )
    for one in three:
        if one is not leader:
            one.stop()
    with pytest.raises(EtcdctlError):
        leader.etcd.run("put", "/registry/tail", "1", timeout=1)
    leader.stop()
    log = wal.read(leader.data / "member")
    assert log.uncommitted >= 1
    wal.commit_all(log)
    marked = wal.read(leader.data / "member")
    assert (marked.commit, marked.last) == (log.last, log.last)
    leader.start("--force-new-cluster")
    try:
        assert leader.keys("/registry/") == ["/registry/acknowledged", "/registry/tail"]
        assert [m.name for m in leader.etcd.members()] == [leader.name]
        assert json.dumps(leader.etcd.alarms()) == "[]"
    finally:
        leader.stop()
