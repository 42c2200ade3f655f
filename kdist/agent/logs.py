"""Rotation of container logs: by size, a few generations, older ones compressed."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from kdist.agent.cri import errors
from kdist.agent.cri.client import CriClient
from kdist.agent.pods.observed import Container
from kdist.telemetry import log as telemetry

log = telemetry.get(__name__)
CHECK_SECONDS = 10.0


class LogRotation:
    """Rotates the logs of running containers. ``max_files`` counts the current one."""

    def __init__(
        self, cri: CriClient, running: Callable[[], Iterable[Container]], max_bytes: int, max_files: int
    ) -> None:
        self._cri, self._running = cri, running
        self._max_bytes, self._max_files = max_bytes, max_files

    async def run(self) -> None:
        """Check every few seconds until cancelled."""
        while True:
            for container in list(self._running()):
                try:
                    if container.log_path.stat().st_size > self._max_bytes:
                        await self._rotate(container)
                except FileNotFoundError:
                    continue  # Not written yet, or removed meanwhile.
                except (OSError, errors.CriError) as error:
                    log.warning("container log cannot be rotated", file=container.log_path, error=error)
            await asyncio.sleep(CHECK_SECONDS)

    async def _rotate(self, container: Container) -> None:
        current = container.log_path
        await asyncio.to_thread(self._make_room, current)
        rotated = current.with_name(f"{current.name}.{time.strftime('%Y%m%d-%H%M%S')}")
        current.rename(rotated)
        try:
            await self._cri.reopen_log(container.id)
        except errors.CriError:
            rotated.rename(current)
            raise

    def _make_room(self, current: Path) -> None:
        """Compress what was rotated before, and drop what is too many with the next one."""
        older = sorted(current.parent.glob(f"{current.name}.*"))
        # The current log and the one about to be rotated stay as they are.
        for file in older[: max(0, len(older) - (self._max_files - 2))]:
            file.unlink(missing_ok=True)
        for file in current.parent.glob(f"{current.name}.*"):
            if file.suffix != ".gz":
                compress(file)


def compress(file: Path) -> None:
    """Replace a file by its gzip; the name appears only when it is complete."""
    partial = file.with_name(f".{file.name}.partial")
    with file.open("rb") as source, gzip.open(partial, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target)
    partial.rename(file.with_name(f"{file.name}.gz"))
    file.unlink()
