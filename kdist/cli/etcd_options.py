"""What the commands of ``kdist etcd`` share: options, and expected errors as one message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec

import click

from kdist.lifecycle.etcd.etcdctl import EtcdctlError
from kdist.lifecycle.etcd.quorum import Refused
from kdist.lifecycle.etcd.snapshots import SnapshotError
from kdist.lifecycle.etcd.space import NotNow
from kdist.lifecycle.operation.lock import LockHeld, NoHostForLock
from kdist.lifecycle.operation.remote import HostError
from kdist.lifecycle.operation.runner import PlaybookFailed
from kdist.lifecycle.operation.site import SiteError

P = ParamSpec("P")
EXPECTED = (
    EtcdctlError,
    HostError,
    LockHeld,
    NoHostForLock,
    NotNow,
    OSError,
    PlaybookFailed,
    Refused,
    SiteError,
    SnapshotError,
)
OUTPUT = click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
YES = click.option("--yes", is_flag=True, help="Do not ask.")
BREAK_LOCK = click.option(
    "--break-lock", is_flag=True, help="Take the lock of an operator who is known to be gone."
)


def told(command: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run a command; an expected error is one message, exit code 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def running() -> None:
            await command(*args, **kwargs)

        try:
            asyncio.run(running())
        except EXPECTED as error:
            raise click.ClickException(str(error)) from error

    return run
