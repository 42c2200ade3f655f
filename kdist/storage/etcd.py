"""etcd as storage: a thin client of its v3 API.

Holds the contract of :mod:`kdist.storage.interface`. A call that fails because a member cannot be reached goes to
the next one. A write whose answer was lost may have happened: it is repeated when it cannot happen twice, that is, when
it changes a key whose revision it checks, and what the repetition finds tells how the first one ended. Watches resume
by themselves after the last revision seen; what was compacted in between is :class:`Compacted`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdist.pki.serving import client_context
from kdist.storage import etcdwire as wire
from kdist.storage import rpc
from kdist.storage.interface import (
    Compacted,
    Event,
    Full,
    FutureRevision,
    KeyValue,
    Mismatch,
    Page,
    StorageError,
    Unavailable,
)
from kdist.storage.rpcstatus import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    INTERNAL,
    OUT_OF_RANGE,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    RpcError,
)
from kdist.telemetry import log

_log = log.get(__name__)
TIMEOUT = 10.0  # seconds per call
RECONNECT_SECONDS = 0.5
# A member is back a few seconds after it was restarted; more than this, and callers should hear of it.
PATIENCE = 10.0
RETRY_SECONDS = 0.1
LEASE_SHARE_SECONDS = 60  # keys that expire within the same minute share a lease
_LOST = (UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED)


def _prefix_end(prefix: bytes) -> bytes:
    """The first key after all keys with a prefix; ``\\0`` stands for the end of the key space."""
    for at in range(len(prefix) - 1, -1, -1):
        if prefix[at] < 0xFF:
            return prefix[:at] + bytes([prefix[at] + 1])
    return b"\0"


class _NobodyAnswers(Exception):
    """No member took the call; ``cause`` is what the last one asked failed with."""

    def __init__(self, cause: RpcError) -> None:
        super().__init__(cause.details)
        self.cause = cause


class EtcdStorage:
    """A :class:`kdist.storage.interface.Storage` in an etcd cluster."""

    def __init__(
        self,
        servers: Sequence[str],
        *,
        ca_file: Path | None = None,
        cert_file: Path | None = None,
        key_file: Path | None = None,
        patience: float = PATIENCE,
    ) -> None:
        """``patience``: seconds that a call waits for a member that can be reached, when nothing was sent yet."""
        self._patience = patience
        secure = any(url.startswith("https:") for url in servers)
        context = client_context(ca_file, cert_file, key_file, protocols=["h2"]).current if secure else None
        self._servers = tuple(servers)
        self._members = [rpc.Channel(url, context) for url in servers]
        self._preferred = 0
        self._leases: dict[int, tuple[int, float]] = {}  # ttl -> (lease, when to stop sharing it)
        self._closed = False
        self._lost = 0  # calls so far whose answers were lost, though they may have been carried out

    # ----- calls

    async def _call(self, method: str, request: Any, *, repeatable: bool) -> Any:
        """Ask until somebody answers, for a few seconds: members are restarted, leaders change.

        Raises Unavailable, or what the error means.
        """
        path, _, response = wire.METHODS[method]
        message = request.SerializeToString()
        until = time.monotonic() + self._patience
        while True:
            try:
                return response.FromString(await self._ask_all(path, message, repeatable=repeatable))
            except _NobodyAnswers as error:
                again = repeatable or error.cause.unsent
                if self._closed or not again or time.monotonic() + RETRY_SECONDS > until:
                    raise Unavailable(error.cause.details) from error.cause
            await asyncio.sleep(RETRY_SECONDS)

    async def _ask_all(self, path: str, message: bytes, *, repeatable: bool) -> bytes:
        """Ask the preferred member, then the others, once. Raises _NobodyAnswers, or what the error means."""
        last: RpcError | None = None
        for turn in range(len(self._members)):
            index = (self._preferred + turn) % len(self._members)
            try:
                answer = await self._members[index].unary(path, message, timeout=TIMEOUT)
            except RpcError as error:
                if error.code not in _LOST:
                    raise _meaning(error) from error
                last = error
                if not error.unsent:
                    self._lost += 1
                    if not repeatable:
                        break
                continue
            self._preferred = index
            return answer
        assert last is not None
        raise _NobodyAnswers(last)

    async def commit(
        self,
        checks: Mapping[str, int],
        *,
        puts: Mapping[str, bytes] | None = None,
        deletes: Sequence[str] = (),
        ttl: int = 0,
    ) -> int:
        """See the contract."""
        lease = await self._lease(ttl) if ttl else 0
        request = wire.TxnRequest()
        for key, revision in checks.items():
            request.compare.add(
                key=key.encode(), result=wire.EQUAL, target=wire.MOD_REVISION, mod_revision=revision
            )
            request.failure.add(request_range=wire.RangeRequest(key=key.encode()))
        for key, value in (puts or {}).items():
            request.success.add(request_put=wire.PutRequest(key=key.encode(), value=value, lease=lease))
        for key in deletes:
            request.success.add(request_delete_range=wire.DeleteRangeRequest(key=key.encode()))
        once = any(key in checks for key in (*(puts or ()), *deletes))
        sent = self._lost
        answer = await self._call("txn", request, repeatable=once)
        if answer.succeeded:
            return int(answer.header.revision)
        if self._lost != sent and (revision := _happened(checks, puts or {}, deletes, answer)):
            return revision
        raise _mismatch(checks, answer)

    async def _lease(self, ttl: int) -> int:
        """A lease for keys that live ``ttl`` seconds; it lives a little longer, to be shared."""
        lease, until = self._leases.get(ttl, (0, 0.0))
        if lease and time.monotonic() < until:
            return lease
        share = min(LEASE_SHARE_SECONDS, max(1, ttl // 10))
        request = wire.LeaseGrantRequest(TTL=ttl + share)
        answer = await self._call("lease_grant", request, repeatable=True)
        self._leases[ttl] = (int(answer.ID), time.monotonic() + share)
        return int(answer.ID)

    async def get(self, key: str) -> KeyValue | None:
        """See the contract."""
        answer = await self._call("range", wire.RangeRequest(key=key.encode()), repeatable=True)
        return _key_value(answer.kvs[0]) if answer.kvs else None

    async def current_revision(self) -> int:
        """See the contract."""
        request = wire.RangeRequest(key=b"\0", count_only=True, limit=1)
        answer = await self._call("range", request, repeatable=True)
        return int(answer.header.revision)

    async def size(self) -> int:
        """Bytes that the database of the member takes which answers. Raises StorageError."""
        answer = await self._call("status", wire.StatusRequest(), repeatable=True)
        return int(answer.dbSize)

    async def compact(self, revision: int) -> None:
        """See the contract."""
        try:
            await self._call("compact", wire.CompactionRequest(revision=revision), repeatable=True)
        except Compacted:  # another server was faster
            return

    async def list(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        """See the contract."""
        request = wire.RangeRequest(
            key=max(prefix, start).encode() or b"\0",
            range_end=_prefix_end(prefix.encode()),
            limit=limit,
            revision=revision,
        )
        answer = await self._call("range", request, repeatable=True)
        items = [_key_value(kv) for kv in answer.kvs]
        remaining = int(answer.count) - len(items) if answer.more else 0
        return Page(items, revision or int(answer.header.revision), remaining)

    # ----- watch

    async def watch(self, prefix: str, revision: int) -> AsyncIterator[Sequence[Event]]:
        """See the contract."""
        member, broken = self._preferred, False
        while not self._closed:
            try:
                async with contextlib.aclosing(
                    self._watch_once(self._members[member], prefix, revision)
                ) as batches:
                    async for events in batches:
                        broken = False
                        yield events
                        revision = events[-1].revision + 1
            except RpcError as error:
                if error.code not in _LOST:
                    raise _meaning(error) from error
                if not broken:
                    _log.warning("watch broke off", member=self._servers[member], error=error.details)
                broken = True
            if not self._closed:
                member = (member + 1) % len(self._members)
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _watch_once(
        self, member: rpc.Channel, prefix: str, revision: int
    ) -> AsyncGenerator[Sequence[Event], None]:
        """The batches of one stream until it breaks. Events of one revision may come in fragments."""
        path, request, response = wire.WATCH
        create = wire.WatchCreateRequest(
            key=prefix.encode() or b"\0",
            range_end=_prefix_end(prefix.encode()),
            start_revision=revision,
            fragment=True,
        )
        stream, connection = await member.stream(path, request(create_request=create).SerializeToString())
        pending: list[Event] = []
        try:
            async for messages in stream.batches():
                for answer in map(response.FromString, messages):
                    if answer.compact_revision:
                        raise Compacted(int(answer.compact_revision))
                    if answer.canceled:
                        raise StorageError(f"etcd cancelled the watch: {answer.cancel_reason}")
                    pending += map(_event, answer.events)
                if pending and not answer.fragment:
                    batch, pending = pending, []
                    yield batch
        finally:
            rpc.end(stream, connection)

    async def close(self) -> None:
        """See the contract."""
        self._closed = True
        for member in self._members:
            await member.close()


def _key_value(kv: Any) -> KeyValue:
    return KeyValue(kv.key.decode(), kv.value, int(kv.mod_revision))


def _event(event: Any) -> Event:
    kv = event.kv
    value = None if event.type == wire.DELETE else kv.value
    return Event(kv.key.decode("utf-8", "replace"), value, int(kv.mod_revision))


def _mismatch(checks: Mapping[str, int], answer: Any) -> Mismatch:
    """The first check that fails, from the reads of the failed transaction."""
    for (key, revision), response in zip(checks.items(), answer.responses, strict=True):
        kvs = response.response_range.kvs
        current = _key_value(kvs[0]) if kvs else None
        if (current.revision if current else 0) != revision:
            return Mismatch(key, current)
    raise AssertionError("a failed transaction has a failed check")


def _happened(
    checks: Mapping[str, int], puts: Mapping[str, bytes], deletes: Sequence[str], answer: Any
) -> int:
    """The revision at which an earlier try of a repeated write was carried out, by what is there now; 0: it was not.

    The same bytes at a newer revision are ours: an object carries its uid, or says the same whoever wrote it.
    """
    for key, response in zip(checks, answer.responses, strict=True):
        found = response.response_range.kvs
        revision = int(found[0].mod_revision) if found else 0
        if revision == checks[key]:
            continue
        if key in puts and found and bytes(found[0].value) == puts[key]:
            return revision
        if key in deletes and not found:
            return int(answer.header.revision)
    return 0


def _meaning(error: RpcError) -> StorageError:
    if error.code == OUT_OF_RANGE:
        return FutureRevision(error.details) if "future" in error.details else Compacted()
    if error.code == RESOURCE_EXHAUSTED and "space exceeded" in error.details:
        return Full(error.details)
    return Unavailable(error.details) if error.code == INTERNAL else StorageError(error.details)
