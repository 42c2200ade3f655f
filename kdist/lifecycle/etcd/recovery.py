"""One surviving member goes on alone: on its host, where nothing else can be asked.

Order matters: the static pod goes away before anything is changed; the log is marked as committed before etcd drops its
end; etcd runs alone on loopback, where no client sees the half-made cluster; the revision is raised before any client
can read; the static pod comes back last. A run that was killed is simply run again.

The cluster keeps its identity, and the lost members become removed ones: when their hosts come back with their old
data, this member tells them so, and they end instead of forming a cluster of their own.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kdist.lifecycle.etcd import revisions, staticpod, wal
from kdist.lifecycle.etcd.etcdctl import Etcdctl, EtcdctlError
from kdist.lifecycle.etcd.quorum import Refused
from kdist.lifecycle.etcd.staticpod import Places, StaticPodError

RAFT_SNAPSHOT_SECONDS = 60
QUORUM_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of the history."""

    revision_before: int
    """The newest revision that survived."""
    revision: int
    """From where it goes on."""
    last: int
    commit: int
    kept: int
    """Entries of the log that were not known to be committed and were kept."""
    copy: str
    """Where the data lies as it was found."""


Launch = Callable[[Places, str], Sequence[str]]


def in_container(places: Places, manifest: str) -> Sequence[str]:
    """How etcd runs alone on a real host: from the image of its static pod."""
    image = manifest.split("image: ", 1)[1].split()[0]
    return staticpod.container_command(places, image, staticpod.alone_command(places, manifest))


def recover(places: Places, etcd: Etcdctl, launch: Launch = in_container) -> dict[str, Any]:
    """Make this host's member a cluster of one. Raises Refused, StaticPodError, WalError, BoltError, EtcdctlError."""
    _refuse_with_quorum(etcd)
    manifest = staticpod.manifest_of(places)
    if not places.database.exists():
        raise Refused(f"{places.member} holds no data: restore a snapshot instead")
    # Not the API server with it: the agent loses a static pod whose manifest is back before the pod has ended.
    # That etcd's manifest is aside already says that an attempt before this one was killed.
    again = staticpod.ETCD not in staticpod.stop(places, (staticpod.ETCD,))
    copy = _copy(places, again=again)
    log = wal.read(places.member)
    if log.uncommitted:
        wal.commit_all(log)
    with staticpod.alone(places, launch(places, manifest)) as one:
        members = one.members()
        if len(members) != 1:
            raise StaticPodError(f"etcd has {len(members)} members after it was told to go on alone")
        before = one.revision()
        _raft_snapshot(places, log.last)
    note = {"by": "kdist etcd recover", "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "revision": before}
    revision = revisions.bump(places.database, dict(note))
    staticpod.start(places)  # with the API server, should somebody have stopped that
    _until_quorum(etcd)
    etcd.compact(revision)
    return asdict(Recovered(before, revision, log.last, log.commit, log.uncommitted, copy))


def _refuse_with_quorum(etcd: Etcdctl) -> None:
    try:
        etcd.read_consistently()
    except EtcdctlError:
        return
    raise Refused("etcd has a quorum here: nothing is lost")


def _copy(places: Places, *, again: bool) -> str:
    """The data as it was found, not as an attempt before this one left it."""
    earlier = sorted(places.data.glob(f"{staticpod.BEFORE_RECOVERY}*"))
    if again and earlier:
        return str(earlier[-1])
    size = sum(path.stat().st_blocks * 512 for path in places.member.rglob("*") if path.is_file())
    free = shutil.disk_usage(places.data).free
    if free < 2 * size:
        raise StaticPodError(
            f"{places.data} has {free >> 20} MiB free; a copy of the data needs {2 * size >> 20} MiB"
        )
    now = datetime.now(UTC)
    target = places.data / staticpod.aside_name(staticpod.BEFORE_RECOVERY, now)
    partial = places.data / ".copy"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(places.member, partial)
    partial.rename(target)
    staticpod.forget(places, staticpod.BEFORE_RECOVERY, now)
    return str(target)


def _raft_snapshot(places: Places, index: int) -> None:
    """Wait for a snapshot of the log: without one, new members would replay it from its start and miss the bump."""
    deadline = time.monotonic() + RAFT_SNAPSHOT_SECONDS
    while time.monotonic() < deadline:
        names = [Path(path).stem for path in places.database.parent.glob("*.snap")]
        if any(int(name.split("-")[1], 16) >= index for name in names):
            return
        time.sleep(0.2)
    raise StaticPodError(f"etcd wrote no snapshot of its log within {RAFT_SNAPSHOT_SECONDS} s")


def _until_quorum(etcd: Etcdctl) -> None:
    deadline = time.monotonic() + QUORUM_SECONDS
    while True:
        try:
            etcd.read_consistently()
            return
        except EtcdctlError as error:
            if time.monotonic() > deadline:
                raise StaticPodError(f"etcd did not come back within {QUORUM_SECONDS} s: {error}") from error
        time.sleep(0.3)
