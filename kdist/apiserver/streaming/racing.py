"""Works of which the first to end decides: a copy, the client's going, the server's stop."""

from __future__ import annotations

import asyncio


async def first_of(*works: object) -> None:
    """Run works until one ends; the others are cancelled. Errors of the one that ended are raised."""
    tasks = [asyncio.ensure_future(work) for work in works]  # type: ignore[call-overload]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        if error := task.exception():
            raise error
