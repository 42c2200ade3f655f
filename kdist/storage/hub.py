"""One watch over the whole key space feeds every watch cache of the process.

Because the hub sees every revision, "the hub has reached revision R" means that every cache has. A consistent
read is then one revision read from storage, shared by all requests that wait for it, and no object is fetched.
Caches are loaded when a resource is first used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from kdist.storage.interface import Compacted, Event, Storage, StorageError, Unavailable
from kdist.storage.watchcache import FieldsOf, WatchCache
from kdist.telemetry import log

_log = log.get(__name__)
ROOT = "/registry/"  # every object lies below it, at /registry/PLURAL/ or /registry/GROUP/PLURAL/
LOAD_PAGE = 5000  # objects per list request while a cache loads
RETRY_SECONDS = 1.0


class Hub:
    """The caches of one process. :meth:`run` feeds them; :meth:`cache` loads one on first use."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.revision = 0
        self._caches: dict[str, WatchCache] = {}
        self._loading: dict[str, asyncio.Lock] = {}
        self._started = asyncio.Event()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._newest = _SharedRead(storage.current_revision)

    # ----- feeding

    async def run(self) -> None:
        """Follow storage until cancelled; after lost events every cache is loaded again."""
        while True:
            try:
                await self._follow()
            except Compacted:
                _log.warning("events were compacted away, loading the caches again")
                await self._reload()
            except StorageError as error:
                _log.warning("storage watch failed", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        if not self._started.is_set():
            self.revision = await self.storage.current_revision()
            self._started.set()
        async for events in self.storage.watch("", self.revision + 1):
            self._dispatch(events)

    def _dispatch(self, events: Sequence[Event]) -> None:
        revision = events[-1].revision
        for prefix, own in self._by_cache(events).items():
            self._caches[prefix].apply(own)
        self.revision = revision
        for cache in self._caches.values():
            if cache.loaded:
                cache.revision = max(cache.revision, revision)
        self._release()

    def _by_cache(self, events: Sequence[Event]) -> dict[str, list[Event]]:
        grouped: dict[str, list[Event]] = {}
        for event in events:
            if (prefix := self._prefix_of(event.key)) is not None:
                grouped.setdefault(prefix, []).append(event)
        return grouped

    def _prefix_of(self, key: str) -> str | None:
        """The known cache prefix of a key: /registry/A/B/ before /registry/A/."""
        first = key.find("/", len(ROOT))
        second = key.find("/", first + 1) if first > 0 else -1
        for end in (second, first):
            if end > 0 and key[: end + 1] in self._caches:
                return key[: end + 1]
        return None

    async def _reload(self) -> None:
        self.revision = await self.storage.current_revision()
        for cache in list(self._caches.values()):
            await self._load(cache)
        self._release()

    # ----- caches

    async def cache(self, prefix: str, fields_of: FieldsOf) -> WatchCache:
        """The cache of a prefix, loaded. Raises StorageError when it cannot be."""
        cache = self._caches.get(prefix)
        if cache is not None and cache.loaded:
            return cache
        await self._started.wait()
        async with self._loading.setdefault(prefix, asyncio.Lock()):
            cache = self._caches.setdefault(prefix, WatchCache(prefix, fields_of))
            if not cache.loaded:
                await self._load(cache)
        return cache

    async def _load(self, cache: WatchCache) -> None:
        page = await self.storage.list(cache.prefix, limit=LOAD_PAGE)
        items, revision = page.items, page.revision
        while page.remaining:
            start = page.items[-1].key + "\0"
            page = await self.storage.list(cache.prefix, start=start, limit=LOAD_PAGE, revision=revision)
            items.extend(page.items)
        cache.load(items, revision)

    def loaded(self, prefix: str) -> WatchCache | None:
        """The cache of a prefix when it is there."""
        cache = self._caches.get(prefix)
        return cache if cache is not None and cache.loaded else None

    def caches(self) -> list[WatchCache]:
        """Every cache that is loaded."""
        return [cache for cache in self._caches.values() if cache.loaded]

    def drop(self, prefix: str) -> None:
        """Forget a cache and end its watches: the resource is gone."""
        if cache := self._caches.pop(prefix, None):
            cache.end_watches()

    # ----- freshness

    async def fresh(self) -> None:
        """Wait until the caches show everything that was written before this call."""
        await self.reach(await self._newest.read())

    async def reach(self, revision: int, *, timeout: float = 5.0) -> None:
        """Wait until the caches are at ``revision``. Raises TimeoutError, or Unavailable while starting."""
        if self.revision >= revision:
            return
        if not self._started.is_set():
            raise Unavailable("the caches are not started yet")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, waiter))
        async with asyncio.timeout(timeout):
            await waiter

    def _release(self) -> None:
        if not self._waiting:
            return
        still = []
        for revision, waiter in self._waiting:
            if revision > self.revision and not waiter.done():
                still.append((revision, waiter))
            elif not waiter.done():
                waiter.set_result(None)
        self._waiting = still

    async def started(self) -> None:
        """Wait until the hub follows storage."""
        await self._started.wait()

    @property
    def is_started(self) -> bool:
        """Whether the hub follows storage."""
        return self._started.is_set()


class _SharedRead:
    """Many callers, few reads: whoever comes while a read is under way shares the next one."""

    def __init__(self, read: Callable[[], Awaitable[int]]) -> None:
        self._read = read
        self._waiting: list[asyncio.Future[int]] = []
        self._task: asyncio.Task[None] | None = None

    async def read(self) -> int:
        """A value that was read after this call began."""
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if self._task is None:
            self._task = asyncio.create_task(self._serve(), name="read-revision")
        return await waiter

    async def _serve(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                try:
                    value = await self._read()
                except StorageError as error:
                    _settle(batch, error)
                else:
                    _settle(batch, value)
        finally:
            self._task = None


def _settle(waiters: list[asyncio.Future[int]], outcome: int | StorageError) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if isinstance(outcome, StorageError):
            waiter.set_exception(outcome)
        else:
            waiter.set_result(outcome)
