"""Making several writes at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable


async def all_of(writes: Iterable[Awaitable[object]]) -> None:
    """Make the writes side by side, wait for all of them, then raise the first failure."""
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
