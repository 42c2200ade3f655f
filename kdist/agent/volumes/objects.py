"""ConfigMaps and Secrets that pods of this node use, fetched one by one and kept for a short while.

The node may read only the objects that its pods name, so there is no list to watch; and a watch per object
would cost a connection each. An object is fetched when it is asked for and what is known is too old; several
askers at once share one request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from kdist.api.errors import NotFound
from kdist.api.kinds import CONFIG_MAPS, SECRETS, Kind
from kdist.api.meta import Obj

# Between upstream's one minute and the moment: pods see a change at the second sync at the latest.
MAX_AGE = 45.0
_KEPT = 256  # objects that are remembered at most


class Getter(Protocol):
    """The one call that this module makes of the API."""

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Obj:
        """The object. Raises the ApiError tree."""
        ...


@dataclass(slots=True)
class _Entry:
    fetched: float
    obj: Obj | None


class Objects:
    """A cache of single objects; implements what environments need too (``config_map``, ``secret``)."""

    def __init__(self, client: Getter, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._entries: dict[tuple[Kind, str, str], _Entry] = {}
        self._under_way: dict[tuple[Kind, str, str], asyncio.Task[Obj | None]] = {}

    def forget(self) -> None:
        """Fetch everything anew when it is asked for next."""
        self._entries.clear()

    async def config_map(self, namespace: str, name: str, *, max_age: float = 0.0) -> Obj | None:
        """The ConfigMap, at most ``max_age`` seconds old; None when there is none."""
        return await self._get(CONFIG_MAPS, namespace, name, max_age)

    async def secret(self, namespace: str, name: str, *, max_age: float = 0.0) -> Obj | None:
        """The Secret, at most ``max_age`` seconds old; None when there is none."""
        return await self._get(SECRETS, namespace, name, max_age)

    async def _get(self, kind: Kind, namespace: str, name: str, max_age: float) -> Obj | None:
        key = (kind, namespace, name)
        entry = self._entries.get(key)
        if entry is not None and self._clock() - entry.fetched < max_age:
            return entry.obj
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._fetch(key), name=f"fetch {kind.plural} {namespace}/{name}")
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        # A pod that is deleted meanwhile must not cancel the request of the others.
        return await asyncio.shield(task)

    async def _fetch(self, key: tuple[Kind, str, str]) -> Obj | None:
        kind, namespace, name = key
        now = self._clock()
        try:
            obj: Obj | None = await self._client.get(kind, name, namespace)
        except NotFound:
            obj = None
        self._entries.pop(key, None)  # the newest go to the end
        self._entries[key] = _Entry(now, obj)
        while len(self._entries) > _KEPT:
            self._entries.pop(next(iter(self._entries)))
        return obj
