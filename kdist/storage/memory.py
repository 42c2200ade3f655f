"""The in-process store: a dict, a sorted key list and an event log.

Holds the contract of :mod:`kdist.storage.interface` for development and tests: everything is gone with the
process. Older revisions are answered by undoing the log, which :meth:`MemoryStorage.compact` shortens.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from kdist.storage.interface import Compacted, Event, FutureRevision, KeyValue, Mismatch, Page

_END = "\U0010ffff"
LOG_LIMIT = 20_000  # changes kept when nobody compacts


@dataclass(frozen=True, slots=True)
class _Change:
    revision: int
    key: str
    before: KeyValue | None
    after: KeyValue | None


class MemoryStorage:
    """A :class:`kdist.storage.interface.Storage` in one process."""

    def __init__(self) -> None:
        self._revision = 1
        self._oldest = 1  # reads at this revision and later are possible
        self._data: dict[str, KeyValue] = {}
        self._keys: list[str] = []
        self._log: deque[_Change] = deque()
        self._watches: set[tuple[str, asyncio.Queue[Sequence[Event] | None]]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closed = False

    async def commit(
        self,
        checks: Mapping[str, int],
        *,
        puts: Mapping[str, bytes] | None = None,
        deletes: Sequence[str] = (),
        ttl: int = 0,
    ) -> int:
        """See the contract."""
        for key, revision in checks.items():
            current = self._data.get(key)
            if (current.revision if current else 0) != revision:
                raise Mismatch(key, current)
        deletes = [key for key in deletes if key in self._data]
        if not puts and not deletes:
            return self._revision
        self._revision += 1
        events = [self._put(key, value) for key, value in (puts or {}).items()]
        events += [self._delete(key) for key in deletes]
        for key in puts or ():
            self._expire_after(key, ttl)
        self._publish(events)
        return self._revision

    def _put(self, key: str, value: bytes) -> Event:
        before = self._data.get(key)
        if before is None:
            insort(self._keys, key)
        after = self._data[key] = KeyValue(key, value, self._revision)
        self._log.append(_Change(self._revision, key, before, after))
        return Event(key, value, self._revision)

    def _delete(self, key: str) -> Event:
        before = self._data.pop(key)
        del self._keys[bisect_left(self._keys, key)]
        self._expire_after(key, 0)
        self._log.append(_Change(self._revision, key, before, None))
        return Event(key, None, self._revision)

    def _expire_after(self, key: str, ttl: int) -> None:
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if ttl:
            self._timers[key] = asyncio.get_running_loop().call_later(ttl, self._expire, key)

    def _expire(self, key: str) -> None:
        self._timers.pop(key, None)
        if key in self._data:
            self._revision += 1
            self._publish([self._delete(key)])

    def _publish(self, events: list[Event]) -> None:
        for prefix, queue in self._watches:
            if mine := [e for e in events if e.key.startswith(prefix)]:
                queue.put_nowait(mine)
        while len(self._log) > LOG_LIMIT:
            self._oldest = self._log.popleft().revision + 1

    def _past(self, prefix: str, revision: int) -> list[list[Event]]:
        batches: dict[int, list[Event]] = {}
        for c in self._log:
            if c.revision >= revision and c.key.startswith(prefix):
                event = Event(c.key, c.after.value if c.after else None, c.revision)
                batches.setdefault(c.revision, []).append(event)
        return list(batches.values())

    async def get(self, key: str) -> KeyValue | None:
        """See the contract."""
        return self._data.get(key)

    async def list(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        """See the contract."""
        keys, data = self._keys, self._data
        if revision and revision != self._revision:
            data = self._as_of(revision)
            keys = sorted(data)
        first = bisect_left(keys, max(prefix, start))
        end = bisect_left(keys, prefix + _END)
        last = min(end, first + limit) if limit else end
        items = [data[key] for key in keys[first:last]]
        return Page(items, revision or self._revision, max(0, end - last))

    def _as_of(self, revision: int) -> dict[str, KeyValue]:
        if revision > self._revision:
            raise FutureRevision(f"{revision} is later than {self._revision}")
        if revision < self._oldest:
            raise Compacted(self._oldest)
        data = dict(self._data)
        for change in reversed(self._log):
            if change.revision <= revision:
                break
            if change.before is None:
                data.pop(change.key, None)
            else:
                data[change.key] = change.before
        return data

    async def current_revision(self) -> int:
        """See the contract."""
        return self._revision

    async def watch(self, prefix: str, revision: int) -> AsyncIterator[Sequence[Event]]:
        """See the contract."""
        if revision < self._oldest:
            raise Compacted(self._oldest)
        queue: asyncio.Queue[Sequence[Event] | None] = asyncio.Queue()
        for batch in self._past(prefix, revision):
            queue.put_nowait(batch)
        mine = (prefix, queue)
        self._watches.add(mine)
        try:
            while not self._closed and (events := await queue.get()) is not None:
                yield events
        finally:
            self._watches.discard(mine)

    async def compact(self, revision: int) -> None:
        """See the contract."""
        self._oldest = max(self._oldest, min(revision, self._revision))
        while self._log and self._log[0].revision < self._oldest:
            self._log.popleft()

    async def close(self) -> None:
        """See the contract."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        for _, queue in self._watches:
            queue.put_nowait(None)
