"""The storage contract: a small multi-version key-value store with one revision counter.

Two implementations hold it: :mod:`kdist.storage.memory` (in process) and :mod:`kdist.storage.etcd`. The same
suite (tests/contract) runs on both. Invariants:

- Every successful :meth:`Storage.commit` raises the revision by exactly one, whatever number of keys it writes.
- A watch that starts at revision R delivers every event with a revision of R or more, in order, once, and
  all events of one revision in one batch.
- Reads at an older revision see exactly what was there, until the revision is compacted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class StorageError(Exception):
    """Base of the tree."""


class Unavailable(StorageError):
    """The storage cannot be reached now; a write may or may not have happened."""


class Compacted(StorageError):
    """The revision asked for is not kept any more. ``oldest`` is the first one that is, when known."""

    def __init__(self, oldest: int = 0) -> None:
        super().__init__(f"revision compacted, oldest is {oldest}")
        self.oldest = oldest


class FutureRevision(StorageError):
    """The revision asked for does not exist yet."""


class Full(StorageError):
    """The storage has no room left: what needs some is refused, reading and deleting go on."""


class Unreadable(StorageError):
    """A value is there but cannot be read, for example because its encryption key is not known."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f'unable to transform key "{key}": {why}')
        self.key = key


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A stored value and the revision that wrote it.

    ``error`` says why the value cannot be read, and is empty when it can; an ``outdated`` value should be
    written anew even without a change (:mod:`kdist.storage.encryption`).
    """

    key: str
    value: bytes
    revision: int
    error: str = ""
    outdated: bool = False


class Mismatch(StorageError):
    """A commit's check failed: ``key`` is not at the expected revision. ``current`` is what is there."""

    def __init__(self, key: str, current: KeyValue | None) -> None:
        super().__init__(f"{key} is at revision {current.revision if current else 0}")
        self.key, self.current = key, current


@dataclass(frozen=True, slots=True)
class Page:
    """A range read: ``items`` in key order, as of ``revision``; ``remaining`` keys follow the last one."""

    items: list[KeyValue]
    revision: int
    remaining: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One key written (``value``) or deleted (``value`` is None) at ``revision``; ``error`` as in KeyValue."""

    key: str
    value: bytes | None
    revision: int
    error: str = ""


class Storage(Protocol):
    """What a backend offers. Every method may raise :class:`Unavailable`."""

    async def commit(
        self,
        checks: Mapping[str, int],
        *,
        puts: Mapping[str, bytes] | None = None,
        deletes: Sequence[str] = (),
        ttl: int = 0,
    ) -> int:
        """Write all or nothing if every checked key was last written at the given revision (0: is absent).

        ``ttl`` (seconds) makes the put keys vanish by themselves. Returns the new revision.
        Raises :class:`Mismatch` for the first check that fails.
        """

    async def get(self, key: str) -> KeyValue | None:
        """The newest value; linearizable."""

    async def list(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        """Keys with ``prefix`` from ``start`` on, at most ``limit`` (0: all), as of ``revision`` (0: newest).

        Linearizable when ``revision`` is 0. Raises :class:`Compacted` or :class:`FutureRevision`.
        """

    async def current_revision(self) -> int:
        """The newest revision; linearizable."""

    def watch(self, prefix: str, revision: int) -> AsyncIterator[Sequence[Event]]:
        """Batches of events under ``prefix`` from ``revision`` on (inclusive), until closed.

        Survives reconnection. Raises :class:`Compacted` when events were lost for good.
        """

    async def compact(self, revision: int) -> None:
        """Forget what was overwritten or deleted before ``revision``."""

    async def close(self) -> None:
        """Let go of connections and end the watches."""


async def create(storage: Storage, key: str, value: bytes, *, ttl: int = 0) -> int:
    """Write a key that must not exist. Raises :class:`Mismatch` when it does."""
    return await storage.commit({key: 0}, puts={key: value}, ttl=ttl)


async def delete(storage: Storage, key: str, revision: int) -> int:
    """Delete a key that must be at ``revision``. Raises :class:`Mismatch`."""
    return await storage.commit({key: revision}, deletes=[key])


# Takes the current state (None: absent) and whether it is surely the newest; returns the wanted write.
Attempt = Callable[[KeyValue | None, bool], Awaitable["Write | None"]]


@dataclass(frozen=True, slots=True)
class Write:
    """What to do to the key of a guaranteed update, with other keys of the same transaction.

    ``value`` None deletes the key. ``also`` adds checks, puts and deletes of companion keys.
    """

    value: bytes | None
    ttl: int = 0
    also_absent: Mapping[str, bytes] | None = None  # keys that must not exist, and their values
    also_delete: Sequence[str] = ()


class Suspect(Exception):
    """Raised by an attempt that cannot decide on possibly stale state: read again and call it once more."""


async def guaranteed_update(
    storage: Storage, key: str, attempt: Attempt, *, cached: KeyValue | None = None
) -> int | None:
    """Compare and swap until ``attempt`` wins. Returns the revision written, or None when it wrote nothing.

    ``cached`` saves the first read; the attempt is told that it may be stale. Errors of the attempt end
    the loop, except :class:`Suspect` on stale state. Raises :class:`Mismatch` only for companion keys, and
    :class:`Unreadable` when what is there cannot be read.
    """
    current, fresh = (cached, False) if cached else (await storage.get(key), True)
    while True:
        if current is not None and current.error:
            raise Unreadable(key, current.error)
        try:
            write = await attempt(current, fresh)
        except Suspect:
            if fresh:
                raise
            current, fresh = await storage.get(key), True
            continue
        if write is None:
            if fresh:
                return None
            # Nothing to do about what may be stale is not nothing to do: what changed meanwhile would be lost.
            known, fresh = current, True
            current = await storage.get(key)
            if _revision(current) == _revision(known):
                return None
            continue
        try:
            return await _commit(storage, key, current, write)
        except Mismatch as mismatch:
            if mismatch.key != key:
                raise
            current, fresh = mismatch.current, True


def _revision(current: KeyValue | None) -> int:
    return current.revision if current is not None else 0


async def _commit(storage: Storage, key: str, current: KeyValue | None, write: Write) -> int:
    checks = {key: current.revision if current else 0}
    puts = dict(write.also_absent or {})
    checks.update(dict.fromkeys(puts, 0))
    if write.value is None:
        return await storage.commit(checks, puts=puts, deletes=[key, *write.also_delete])
    return await storage.commit(
        checks, puts={key: write.value, **puts}, deletes=write.also_delete, ttl=write.ttl
    )
