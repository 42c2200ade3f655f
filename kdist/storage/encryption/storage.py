"""Any storage with encrypted values: encrypts what is put, decrypts what is read and watched.

A value that cannot be read does not hide the others: it is handed on without its content and with the reason
(:attr:`KeyValue.error`, :attr:`Event.error`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace

from kdist.storage.encryption.ciphers import Undecipherable
from kdist.storage.encryption.transformers import IDENTITY, Plain, Transformer, Transformers
from kdist.storage.interface import Event, KeyValue, Mismatch, Page, Storage, Unavailable

# The resource of a storage key, None for keys that are no objects of the API.
ResourceOf = Callable[[str], "tuple[str, str] | None"]
# A value in another encoding as the JSON it stands for. Raises ValueError.
Decode = Callable[[bytes], bytes]
OTHER_ENCODING = b"k8s\x00"
KNOWN_PATHS = 10_000


class EncryptedStorage:
    """A :class:`kdist.storage.interface.Storage` around another one.

    ``decode`` reads values that upstream's API server wrote in its own encoding.
    """

    def __init__(
        self, inner: Storage, transformers: Transformers, resource_of: ResourceOf, decode: Decode
    ) -> None:
        self._inner, self._resource_of, self._decode = inner, resource_of, decode
        self._transformers = transformers
        #: Set when others are in force.
        self.changed = asyncio.Event()
        # What holds below a path (a resource, or its namespace): every event of every resource asks.
        self._known: dict[str, Transformer | None] = {}

    def use(self, transformers: Transformers) -> None:
        """Write and read by these from now on."""
        self._transformers = transformers
        self._known.clear()
        self.changed.set()

    def covers(self, key: str) -> bool:
        """Whether a rule speaks of the key's resource, so that its value may be outdated."""
        return self._transformer(key) not in (None, IDENTITY)

    def _transformer(self, key: str) -> Transformer | None:
        path = key.rpartition("/")[0]
        try:
            return self._known[path]
        except KeyError:
            resource = self._resource_of(key)
            found = self._transformers.of(*resource) if resource is not None else None
            if len(self._known) >= KNOWN_PATHS:
                self._known.clear()
            self._known[path] = found
            return found

    def _write(self, key: str, value: bytes) -> bytes:
        transformer = self._transformer(key)
        return transformer.write(value, key.encode()) if transformer is not None else value

    def _plain(self, key: str, data: bytes) -> Plain:
        """A stored value as it is. Raises Undecipherable."""
        transformer = self._transformer(key)
        if transformer is None:
            return Plain(data, outdated=False)
        plain = transformer.read(data, key.encode())
        if not plain.value.startswith(OTHER_ENCODING):
            return plain
        try:
            return Plain(self._decode(plain.value), plain.outdated)
        except ValueError as error:
            raise Undecipherable(f"the value cannot be decoded: {error}") from error

    @property
    def transformers(self) -> Transformers:
        """Those in force."""
        return self._transformers

    async def _prepare(self, key: str, data: bytes | None) -> None:
        """Ask for the key of a value where a plug-in keeps it."""
        if data is None or not self._transformers.asking:
            return
        transformer = self._transformer(key)
        asking = transformer.unknown(data) if transformer is not None else None
        if asking is not None:
            await asking.prepare(data)

    def _read(self, stored: KeyValue) -> KeyValue:
        try:
            plain = self._plain(stored.key, stored.value)
        except Undecipherable as error:
            return replace(stored, value=b"", error=str(error))
        return replace(stored, value=plain.value, outdated=plain.outdated)

    def _event(self, event: Event) -> Event:
        if event.value is None or (event.value[:1] == b"{" and not self.covers(event.key)):
            return event
        try:
            return replace(event, value=self._plain(event.key, event.value).value)
        except Undecipherable as error:
            return replace(event, value=b"", error=str(error))

    # ----- the contract

    async def commit(
        self,
        checks: Mapping[str, int],
        *,
        puts: Mapping[str, bytes] | None = None,
        deletes: Sequence[str] = (),
        ttl: int = 0,
    ) -> int:
        """See the contract."""
        try:
            written = {key: self._write(key, value) for key, value in (puts or {}).items()}
        except Undecipherable as error:
            raise Unavailable(f"the value cannot be encrypted: {error}") from error
        try:
            return await self._inner.commit(checks, puts=written, deletes=deletes, ttl=ttl)
        except Mismatch as mismatch:
            if mismatch.current is None:
                raise
            await self._prepare(mismatch.key, mismatch.current.value)
            raise Mismatch(mismatch.key, self._read(mismatch.current)) from mismatch

    async def get(self, key: str) -> KeyValue | None:
        """See the contract."""
        stored = await self._inner.get(key)
        if stored is not None:
            await self._prepare(key, stored.value)
        return self._read(stored) if stored is not None else None

    async def list(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        """See the contract."""
        page = await self._inner.list(prefix, start=start, limit=limit, revision=revision)
        if self._transformers.asking:
            for stored in page.items:
                await self._prepare(stored.key, stored.value)
        return replace(page, items=[self._read(stored) for stored in page.items])

    async def watch(self, prefix: str, revision: int) -> AsyncIterator[Sequence[Event]]:
        """See the contract."""
        async for events in self._inner.watch(prefix, revision):
            if self._transformers.asking:
                for event in events:
                    await self._prepare(event.key, event.value)
            yield [self._event(event) for event in events]

    async def current_revision(self) -> int:
        """See the contract."""
        return await self._inner.current_revision()

    async def compact(self, revision: int) -> None:
        """See the contract."""
        await self._inner.compact(revision)

    async def close(self) -> None:
        """See the contract."""
        await self._inner.close()
