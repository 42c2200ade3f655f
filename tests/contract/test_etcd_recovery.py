"""Lost quorum and full quota with real etcds: what a host does, step by step."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from kdist.lifecycle.etcd import etcdctl, recovery, restoring, space, staticpod, taking
from kdist.lifecycle.etcd.etcdctl import EtcdctlError
from kdist.lifecycle.etcd.quorum import Refused
from kdist.lifecycle.etcd.snapshots import SnapshotError
from kdist.lifecycle.etcd.staticpod import Places
from kdist.lifecycle.etcd.taking import Settings
from kdist.storage.etcd import EtcdStorage
from kdist.storage.interface import Full
from tests.contract.etcd_process import Process


def places_of(member: Process, directory: Path) -> Places:
    manifests = directory / f"{member.name}-manifests"
    manifests.mkdir()
    text = f"--name={member.name}\n--advertise-client-urls={member.client}\nimage: none\n"
    (manifests / "etcd.yaml").write_text(text)
    return Places(manifests, directory / f"{member.name}-aside", member.data, None)


@contextmanager
def agent(member: Process, places: Places, cluster: Sequence[Process]) -> Iterator[None]:
    """Runs etcd while its manifest is there, as the node agent does."""
    over = threading.Event()

    def keep() -> None:
        up = True
        while not over.wait(0.1):
            wanted = (places.manifests / "etcd.yaml").exists()
            if wanted and not up:
                member.start("--unsafe-no-fsync", cluster=cluster, wait=False)
            elif up and not wanted:
                member.stop()
            up = wanted

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def launch(places: Places, manifest: str) -> Sequence[str]:
    return [*staticpod.alone_command(places, manifest), "--unsafe-no-fsync"]


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[Process]]:
    members = [Process(f"n{number}", tmp_path) for number in (1, 2, 3)]
    for one in members:
        one.start("--unsafe-no-fsync", cluster=members, wait=False)
    for one in members:
        one.wait_for_quorum()
    yield members
    for one in members:
        one.stop()


def test_a_survivor_goes_on_with_every_acknowledged_write_and_lost_members_stay_out(
    three: list[Process], tmp_path: Path
) -> None:
    survivor, *lost = three
    for number in range(30):
        survivor.put(f"/registry/{number:03}", "v")
    for one in lost:
        one.stop()
    places = places_of(survivor, tmp_path)
    with agent(survivor, places, three):
        done = recovery.recover(places, survivor.etcd, launch)
        assert len(survivor.keys("/registry/")) == 30
        assert [m.name for m in survivor.etcd.members()] == ["n1"]
        assert survivor.etcd.revision() == done["revision"] > done["revision_before"] + 1_000_000
        with pytest.raises(EtcdctlError, match="compacted"):
            survivor.etcd.run("get", "/registry/001", f"--rev={done['revision_before']}")
        # The lost hosts come back with their old data: they are told that they are members no more, and end.
        for one in lost:
            one.start("--unsafe-no-fsync", cluster=three, wait=False)
        for one in lost:
            assert one.ended_within(30)
        # A new member gets the database, not a log to replay: the same keys at the same revision.
        new = Process("n4", tmp_path)
        survivor.etcd.add_learner("n4", new.peer)
        new.start(
            "--unsafe-no-fsync", "--initial-cluster-state=existing", cluster=[survivor, new], wait=False
        )
        try:
            survivor.promoted("n4")
            new.wait_for_quorum()
            assert new.etcd.revision() == survivor.etcd.revision()
            assert new.keys() == survivor.keys()
        finally:
            new.stop()
    assert Path(done["copy"]).is_dir()


def test_there_is_nothing_to_recover_with_a_quorum(three: list[Process], tmp_path: Path) -> None:
    places = places_of(three[0], tmp_path)
    with pytest.raises(Refused, match="has a quorum"):
        recovery.recover(places, three[0].etcd, launch)
    assert (places.manifests / "etcd.yaml").exists()


def test_a_restored_snapshot_is_a_new_cluster_that_others_join(three: list[Process], tmp_path: Path) -> None:
    first = three[0]
    for number in range(20):
        first.put(f"/registry/{number:03}", "v")
    settings = Settings(
        directory=tmp_path / "snapshots", pki_directory=tmp_path / "pki", endpoint=first.client
    )
    taken = taking.take(settings, first.etcd, "operator")
    first.put("/registry/later", "lost")
    for one in three:
        one.stop()
    new = Process("n9", tmp_path)
    places = Places(tmp_path / "m", tmp_path / "a", new.data, None)
    done = restoring.restore(
        places, settings.directory / taken.name, name="n9", address="127.0.0.1", token="fresh"
    )
    assert done["revision_before"] == taken.revision
    new.start("--unsafe-no-fsync")
    try:
        assert len(new.keys("/registry/")) == 20
        assert new.etcd.revision() == done["revision"]
        with pytest.raises(SnapshotError, match="exists"):
            restoring.restore(
                places, settings.directory / taken.name, name="n9", address="127.0.0.1", token="x"
            )
    finally:
        new.stop()


def test_a_corrupted_snapshot_is_not_restored(three: list[Process], tmp_path: Path) -> None:
    settings = Settings(directory=tmp_path / "s", pki_directory=tmp_path / "pki", endpoint=three[0].client)
    three[0].put("/registry/one", "v")
    directory = settings.directory / taking.take(settings, three[0].etcd, "operator").name
    content = bytearray((directory / "snapshot.db").read_bytes())
    content[6000] ^= 1
    (directory / "snapshot.db").write_bytes(content)
    places = Places(tmp_path / "m", tmp_path / "a", tmp_path / "data", None)
    with pytest.raises(SnapshotError, match="was altered"):
        restoring.restore(places, directory, name="n", address="127.0.0.1", token="t")
    assert not places.member.exists()


def test_keys_of_a_snapshot_replace_those_of_the_host_and_these_are_kept(tmp_path: Path) -> None:
    snapshot, pki = tmp_path / "snapshot", tmp_path / "pki"
    (snapshot / "pki/etcd").mkdir(parents=True)
    (snapshot / "encryption.yaml").write_text("old keys")
    for name in ("ca.key", "ca.crt", "etcd/ca.key"):
        (snapshot / "pki" / name).write_text(name)
    pki.mkdir()
    (pki / "encryption.yaml").write_text("new keys")
    written = restoring.restore_secrets(snapshot, pki)["written"]
    assert written == ["encryption.yaml", "ca.crt", "ca.key", "etcd/ca.key"]
    assert (pki / "encryption.yaml").read_text() == "old keys"
    assert [p.read_text() for p in pki.glob("encryption.yaml.before-*")] == ["new keys"]
    assert (pki / "ca.key").stat().st_mode & 0o777 == 0o600
    assert restoring.restore_secrets(snapshot, pki)["written"] == []


def test_members_are_defragmented_and_the_leader_lets_another_lead(three: list[Process]) -> None:
    first = three[0]
    for number in range(300):
        first.put("/registry/one", "v" * 10_000 + str(number))
    first.etcd.compact(first.etcd.revision())
    leader = first.etcd.status(first.client).leader
    members, running = space.observe(first.etcd)
    ordered = space.order(members, running)
    assert ordered[-1].id == leader
    done = [space.defragment(first.etcd, m.name) for m in ordered]
    assert [d["led"] for d in done] == [False, False, True]
    assert all(d["after"] < d["before"] / 10 for d in done)
    assert first.etcd.status(first.client).leader not in (0, leader)


def test_every_key_is_counted_with_its_size(three: list[Process], monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        three[0].put(f"/registry/pods/default/p{number}", "v" * 300)
    monkeypatch.setattr(etcdctl, "PAGE", 3)
    assert [key[-2:] for key, _ in three[0].etcd.sizes()] == [f"p{n}" for n in range(7)]
    assert space.resources(three[0].etcd.sizes()) == [("pods", 7, 2100)]


def test_nothing_is_defragmented_without_a_member(three: list[Process]) -> None:
    three[2].stop()
    with pytest.raises(space.NotNow, match="n3 does not run"):
        space.defragment(three[0].etcd, "n1")


async def test_a_full_database_refuses_writes_is_mended_and_writes_go_on(tmp_path: Path) -> None:
    quota = 16 << 20
    member = Process("n1", tmp_path)
    member.start("--unsafe-no-fsync", f"--quota-backend-bytes={quota}")
    try:
        with pytest.raises(EtcdctlError, match="space exceeded"):
            for _ in range(400):
                member.put("/registry/one", "v" * 100_000)
        assert [name for _, name in member.etcd.alarms()] == ["NOSPACE"]
        api = EtcdStorage([member.client])  # as an API server sees it
        with pytest.raises(Full, match="space exceeded"):
            await api.commit({"/registry/two": 0}, puts={"/registry/two": b"v"})
        await api.commit({}, deletes=["/registry/none"])
        await api.close()
        with pytest.raises(space.NotNow, match="fills"):
            space.disarm(member.etcd, quota)
        space.compact(member.etcd)
        space.defragment(member.etcd, "n1")
        space.disarm(member.etcd, quota)
        assert member.etcd.alarms() == []
        member.put("/registry/one", "v")
    finally:
        member.stop()


def test_the_line_that_runs_etcd_alone_is_that_of_its_static_pod() -> None:
    manifest = "image: localhost/etcd:3.4.23\n- --name=cp1\n- --advertise-client-urls=https://10.0.0.1:2379\n"
    line = shlex.join(recovery.in_container(Places(), manifest + "- --quota-backend-bytes=2147483648\n"))
    assert "localhost/etcd:3.4.23 kdist-etcd-alone etcd --name=cp1" in line
    assert "--force-new-cluster" in line and "--listen-client-urls=https://127.0.0.1:23790" in line
