"""A snapshot becomes the data of this control plane, the only member of a new etcd cluster; the others join it.

The keys of encryption at rest come first: etcd's data without them is of no use. What is there already is never
overwritten without a copy. The data appears under its final name in one step, so a run that was killed is run again.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kdist.lifecycle.etcd import revisions, snapshots, staticpod
from kdist.lifecycle.etcd.etcdctl import restore_snapshot
from kdist.lifecycle.etcd.members import peer_url
from kdist.lifecycle.etcd.snapshots import DATABASE, ENCRYPTION, MANIFEST, PKI, SnapshotError
from kdist.lifecycle.etcd.staticpod import Places
from kdist.lifecycle.etcd.taking import KUBERNETES_PKI
from kdist.pki.files import write

# Whoever has this file has the cluster's secrets: then nothing of the snapshot's replaces them.
AUTHORITY = "ca.key"


def restore(places: Places, snapshot: Path, *, name: str, address: str, token: str) -> dict[str, Any]:
    """Make the data. Raises SnapshotError, EtcdctlError, BoltError; then there is none."""
    if places.member.exists():
        raise SnapshotError(
            f"{places.member} exists: this host is a member of etcd; its data must be set aside first"
        )
    _refuse_faulty(snapshot)
    places.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = places.data / ".restore"
    shutil.rmtree(partial, ignore_errors=True)
    restore_snapshot(snapshot / DATABASE, name=name, url=peer_url(address), token=token, data=partial)
    before = revisions.newest(partial / "member/snap/db")
    note = {"by": "kdist etcd restore", "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "revision": before}
    after = revisions.bump(partial / "member/snap/db", note)
    (partial / "member").rename(places.member)
    partial.rmdir()
    return {"revision_before": before, "revision": after}


def _refuse_faulty(snapshot: Path) -> None:
    if (snapshot / MANIFEST).exists():
        _, faults = snapshots.verify(snapshot)
    else:
        _, faults = snapshots.verify_database(snapshot / DATABASE)
    if faults:
        raise SnapshotError(f"the snapshot cannot be used: {'; '.join(faults)}")


def restore_secrets(snapshot: Path, pki: Path = KUBERNETES_PKI) -> dict[str, Any]:
    """Put the keys of encryption at rest in place, and the shared secrets where the host has none."""
    written = []
    if (snapshot / ENCRYPTION).exists():
        content = (snapshot / ENCRYPTION).read_bytes()
        present = pki / ENCRYPTION
        if present.exists() and present.read_bytes() != content:
            kept = pki / f"{ENCRYPTION}.before-restore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
            write(kept, present.read_bytes(), 0o600)
        if write(present, content, 0o600):
            written.append(ENCRYPTION)
    if (snapshot / PKI).is_dir() and not (pki / AUTHORITY).exists():
        for path in sorted((snapshot / PKI).rglob("*")):
            if path.is_file():
                name = str(path.relative_to(snapshot / PKI))
                public = path.suffix in (".crt", ".pub")
                write(pki / name, path.read_bytes(), 0o644 if public else 0o600)
                written.append(name)
    return {"written": written}


def stop_control_plane(places: Places) -> dict[str, Any]:
    """Stop every part that reads or writes etcd, and put this host's data aside. Raises StaticPodError."""
    stopped = staticpod.stop(places, staticpod.CONTROL_PLANE)
    return {"stopped": stopped, "aside": staticpod.set_aside(places)}
