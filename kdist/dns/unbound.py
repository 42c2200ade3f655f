"""unbound as a child process: started with complete records, started again when it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from kdist.dns.control import Control
from kdist.telemetry import log as logs

log = logs.get(__name__)

_START_SECONDS = 30.0
_STOP_SECONDS = 5.0


class UnboundFailed(Exception):
    """unbound does not start, with its last words if it had any."""


@contextlib.asynccontextmanager
async def running(configuration: Path, control: Control) -> AsyncIterator[asyncio.subprocess.Process]:
    """unbound, answering, while the block runs; its log is ours. Raises UnboundFailed."""
    try:
        process = await asyncio.create_subprocess_exec("unbound", "-d", "-c", str(configuration))
    except OSError as error:
        raise UnboundFailed(f"cannot run unbound: {error}") from error
    try:
        await _until_answering(process, control)
        log.info("unbound answers", pid=process.pid)
        yield process
    finally:
        await _stop(process)


async def _until_answering(process: asyncio.subprocess.Process, control: Control) -> None:
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not await control.is_running():
                if process.returncode is not None:
                    raise UnboundFailed(f"unbound ended with code {process.returncode} while starting")
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise UnboundFailed(f"unbound does not answer within {_START_SECONDS:.0f} s") from error


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
