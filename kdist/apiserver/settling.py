"""Objects that the server itself brings into order after they were written: by name, one after the other.

The queue of what custom resource definitions and admission policies have in common. What the code for one name finds
is in the caches, so a name may be queued any number of times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kdist.api.errors import ApiError, Conflict, NotFound
from kdist.telemetry import log

RETRY_SECONDS = 1.0
_log = log.get(__name__)


class Settling:
    """Calls ``settle`` for every name that was added; ``kind`` is what the log calls these objects."""

    def __init__(self, kind: str, settle: Callable[[str], Awaitable[None]]) -> None:
        self._kind, self._settle = kind, settle
        self._names: asyncio.Queue[str] = asyncio.Queue()

    def add(self, name: str) -> None:
        """Look at an object soon."""
        self._names.put_nowait(name)

    def add_later(self, name: str) -> None:
        """Look at an object after a while."""
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self.add, name)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            name = await self._names.get()
            try:
                await self._settle(name)
            except (NotFound, Conflict):
                continue  # gone, or written by another: its change comes through the cache
            except ApiError as error:
                _log.warning("cannot settle an object yet", kind=self._kind, name=name, error=error.message)
                self.add_later(name)
            except Exception:  # noqa: BLE001 - one object must not end the server
                _log.error("cannot settle an object", exc_info=True, kind=self._kind, name=name)
