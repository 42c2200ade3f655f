"""What pods left behind when nobody was there to clean up: volumes, directories, logs, cgroups.

After a crash of the host, or when the runtime's data was wiped, no container tells of these pods any more.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from kdist.agent.interfaces import VolumeError
from kdist.agent.pods.host import Host
from kdist.telemetry import log as telemetry

log = telemetry.get(__name__)


async def sweep(host: Host, known: Collection[str]) -> None:
    """Remove everything of pods that are not ``known`` (by uid)."""
    for uid in host.volumes.reconstruct() - set(known):
        log.info("unmounting volumes of a pod that is gone", uid=uid)
        try:
            await host.volumes.unmount(uid)
        except VolumeError as error:
            log.warning("volumes of a pod that is gone stay", uid=uid, error=error)
            return
    for directory in [*_pod_directories(host.node.root, known), *_log_directories(host.node.logs, known)]:
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
    for link in _dangling(host.node.links):
        link.unlink(missing_ok=True)
    for name in host.cgroups.pods():
        if name[-1].removeprefix("pod") not in known:
            await host.cgroups.remove(name)


def _pod_directories(root: Path, known: Collection[str]) -> Iterator[Path]:
    pods = root / "pods"
    if pods.is_dir():
        yield from (d for d in pods.iterdir() if d.name not in known)


def _log_directories(logs: Path, known: Collection[str]) -> Iterator[Path]:
    if logs.is_dir():
        yield from (d for d in logs.iterdir() if d.name.rpartition("_")[2] not in known)


def _dangling(links: Path) -> Iterator[Path]:
    if links.is_dir():
        yield from (link for link in links.iterdir() if link.is_symlink() and not link.exists())
