"""Giving up on something that takes long as soon as it is not wanted any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Interrupted(Exception):
    """What was under way is not wanted any more."""


class Pausable(Protocol):
    """Runs work that a deletion of the pod interrupts."""

    async def __call__(self, work: Awaitable[T]) -> T:
        """The result of the work. Raises Interrupted."""
        ...


async def until(work: Awaitable[T], signal: asyncio.Event) -> T:
    """The result of ``work``; once ``signal`` is set the work is cancelled, and Interrupted raised after it ended."""
    task = asyncio.ensure_future(work)
    waiter: asyncio.Future[object] = asyncio.ensure_future(signal.wait())
    try:
        await asyncio.wait([task, waiter], return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
        if task.done():
            return task.result()
        task.cancel()
        # How it ends is of no interest any more, but it has to end before anything else begins.
        await asyncio.gather(task, return_exceptions=True)
        raise Interrupted
    finally:
        task.cancel()
        waiter.cancel()
