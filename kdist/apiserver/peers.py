"""What the worker processes of one server tell each other: their metrics.

A scrape reaches one of the workers; it asks the others, so that the answer is the server's. Each worker listens on a
socket file in a directory that only the server's user can enter. A worker that does not answer in time is counted as
silent, and its numbers are missing until it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from kdist.telemetry import merging, series

DIRECTORY = "KDIST_APISERVER_PEERS"  # in the environment of workers, set by the supervisor
TIMEOUT = 2.0  # seconds
_WORKERS = series.Values(
    "kdist_apiserver_workers",
    "Worker processes whose metrics are in this answer, and those that did not answer.",
    ("state",),
    type="gauge",
    alpha=True,
)


def directory() -> Path | None:
    """Where the workers' sockets are; None for a server of one process."""
    named = os.environ.get(DIRECTORY)
    return Path(named) if named else None


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[None]:
    """Answer the other workers while the block runs."""
    where = directory()
    if where is None:
        yield
        return
    path = where / f"{os.getpid()}.sock"
    server = await asyncio.start_unix_server(_tell, path)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def _tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(series.exposition())
    await writer.drain()
    writer.close()


async def exposition() -> bytes:
    """The metrics of the whole server."""
    where = directory()
    if where is None:
        return series.exposition()
    others = [path for path in where.glob("*.sock") if path.stem != str(os.getpid())]
    answers = await asyncio.gather(*map(_ask, others))
    heard = [answer for answer in answers if answer is not None]
    _WORKERS.at("answered").value = len(heard) + 1
    _WORKERS.at("silent").value = len(answers) - len(heard)
    own = series.exposition().decode()
    _WORKERS.forget("answered")  # how many there are is said once, by whoever was asked
    _WORKERS.forget("silent")
    return merging.merge([own, *heard]).encode()


async def _ask(path: Path) -> str | None:
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_unix_connection(path)
            text = await reader.read()
            writer.close()
    except (OSError, TimeoutError):
        return None
    return text.decode()
