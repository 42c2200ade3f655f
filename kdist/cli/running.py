"""How the long-running components of a node run: on uvloop, until SIGTERM or Ctrl-C, then exit 0."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any


def until_stopped(main: Coroutine[Any, Any, None], *, stock_loop: bool = False) -> None:
    """Run ``main``; a signal cancels it, and its own clean-up is waited for.

    ``stock_loop`` takes asyncio's own loop: uvloop does not know netlink sockets.
    """
    if stock_loop:
        asyncio.run(_supervise(main))
        return
    import uvloop  # imported late, so that --help is quick

    uvloop.run(_supervise(main))


async def _supervise(main: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(main, name="main")
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
