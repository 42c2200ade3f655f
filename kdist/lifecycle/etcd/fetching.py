"""Copying snapshots between a control plane and the operator's machine."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from kdist.lifecycle.etcd import snapshots
from kdist.lifecycle.etcd.remote import ask, copy_from, copy_to
from kdist.lifecycle.etcd.snapshots import MANIFEST, Manifest, SnapshotError
from kdist.lifecycle.operation.site import Site


async def fetch(site: Site, host: str, name: str, to: Path) -> Path:
    """The snapshot as a directory below ``to``: verified here, and under its name only then.

    Raises HostError, SnapshotError.
    """
    answer = await ask(site, host, "show", name)
    manifest = Manifest.from_json(answer["manifest"])
    to.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=to))
    try:
        for file in (*manifest.files, MANIFEST):
            await copy_from(site, host, f"{answer['path']}/{file}", partial / file)
        _, faults = snapshots.verify(partial)
        if faults:
            raise SnapshotError(f"{name} from {host} cannot be used: {'; '.join(faults)}")
        final = to / name
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return final


async def send(site: Site, host: str, snapshot: Path, to: str) -> None:
    """A snapshot (or a bare database) from here to a host. Raises HostError."""
    if snapshot.is_file():
        await copy_to(site, host, snapshot, f"{to}/{snapshots.DATABASE}")
        return
    for file in (*snapshots.read(snapshot).files, MANIFEST):
        await copy_to(site, host, snapshot / file, f"{to}/{file}")
