"""When the cluster's authorities change on this host, pods shall see the new ones soon, not at their next turn.

The ConfigMap that pods get them from follows the same change a few seconds later; until it has, looking is in vain,
so pods' files are brought up to date several times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from kdist.pki.following import stamp

LOOK_SECONDS = 5.0
# After the change was seen; within this the controller manager has published it.
ROUNDS = (3.0, 6.0, 10.0, 20.0)


async def follow(
    bundle: Path, refresh: Callable[[], None], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Call ``refresh`` a few times after every change of ``bundle``, for ever."""
    seen = stamp(bundle)
    while True:
        await sleep(LOOK_SECONDS)
        now = stamp(bundle)
        if now == seen:
            continue
        seen = now
        for pause in ROUNDS:
            await sleep(pause)
            refresh()
