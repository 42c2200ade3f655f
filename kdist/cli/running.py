"""How the long-running components of a node run: connected to the API, on uvloop, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from kdist.client.rest import Client


def connected(kubeconfig: Path | None, user_agent: str) -> Client:
    """A client by a kubeconfig, or by the pod's service account when there is none."""
    from kdist.client.kubeconfig import KubeconfigError
    from kdist.client.rest import Client

    try:
        if kubeconfig:
            return Client.from_kubeconfig(kubeconfig, user_agent=user_agent)
        return Client.in_cluster(user_agent=user_agent)
    except KubeconfigError as error:
        raise click.ClickException(str(error)) from error


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
