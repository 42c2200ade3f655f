"""etcd as storage: a thin client of its v3 API on grpc.aio.

Holds the contract of :mod:`kdist.storage.interface`. A call that fails because a member cannot be reached goes to
the next one; a write whose answer was lost is not repeated (it may have happened). Watches resume by themselves
after the last revision seen; what was compacted in between is :class:`Compacted`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from kdist.storage import etcdwire as wire
from kdist.storage.interface import (
    Compacted,
    Event,
    FutureRevision,
    KeyValue,
    Mismatch,
    Page,
    StorageError,
    Unavailable,
)
from kdist.telemetry import log

_log = log.get(__name__)
TIMEOUT = 10.0  # seconds per call
RECONNECT_SECONDS = 0.5
LEASE_SHARE_SECONDS = 60  # keys that expire within the same minute share a lease
MESSAGE_LIMIT = 1 << 30  # a range read may be large; etcd itself limits writes
_OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.max_send_message_length", 16 << 20),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]
_EOF: Any = vars(grpc.aio)["EOF"]  # the stubs do not have it
_LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


def _prefix_end(prefix: bytes) -> bytes:
    """The first key after all keys with a prefix; ``\\0`` stands for the end of the key space."""
    for at in range(len(prefix) - 1, -1, -1):
        if prefix[at] < 0xFF:
            return prefix[:at] + bytes([prefix[at] + 1])
    return b"\0"


class _Member:
    """One etcd server: its channel and methods."""

    def __init__(self, url: str, credentials: grpc.ChannelCredentials | None) -> None:
        scheme, _, target = url.rpartition("://")
        self.url = url
        if scheme == "https":
            self.channel = grpc.aio.secure_channel(
                target, credentials or grpc.ssl_channel_credentials(), options=_OPTIONS
            )
        else:
            self.channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self.calls = {
            name: self.channel.unary_unary(
                path, request_serializer=request.SerializeToString, response_deserializer=response.FromString
            )
            for name, (path, request, response) in wire.METHODS.items()
        }
        path, request, response = wire.WATCH
        self.watch: Callable[[], Any] = self.channel.stream_stream(
            path, request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )  # type: ignore[assignment]  # the stubs want a request iterator


class EtcdStorage:
    """A :class:`kdist.storage.interface.Storage` in an etcd cluster."""

    def __init__(
        self,
        servers: Sequence[str],
        *,
        ca_file: Path | None = None,
        cert_file: Path | None = None,
        key_file: Path | None = None,
    ) -> None:
        credentials = None
        if ca_file or cert_file:
            credentials = grpc.ssl_channel_credentials(
                root_certificates=ca_file.read_bytes() if ca_file else None,
                private_key=key_file.read_bytes() if key_file else None,
                certificate_chain=cert_file.read_bytes() if cert_file else None,
            )
        self._members = [_Member(url, credentials) for url in servers]
        self._preferred = 0
        self._leases: dict[int, tuple[int, float]] = {}  # ttl -> (lease, when to stop sharing it)
        self._closed = False

    # ----- calls

    async def _call(self, method: str, request: Any, *, repeatable: bool) -> Any:
        """Ask the preferred member, then the others. Raises Unavailable, or what the error means."""
        last: grpc.aio.AioRpcError | None = None
        for turn in range(len(self._members)):
            index = (self._preferred + turn) % len(self._members)
            member = self._members[index]
            try:
                answer = await member.calls[method](request, timeout=TIMEOUT)
            except grpc.aio.AioRpcError as error:
                if error.code() not in _LOST:
                    raise _meaning(error) from error
                last = error
                if not repeatable and not _never_sent(error):
                    break
                continue
            self._preferred = index
            return answer
        assert last is not None
        raise Unavailable(last.details() or last.code().name) from last

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
        answer = await self._call("txn", request, repeatable=False)
        if not answer.succeeded:
            raise _mismatch(checks, answer)
        return int(answer.header.revision)

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
            except grpc.aio.AioRpcError as error:
                if error.code() not in _LOST:
                    raise _meaning(error) from error
                if not broken:
                    _log.warning("watch broke off", member=self._members[member].url, error=error.details())
                broken = True
            if not self._closed:
                member = (member + 1) % len(self._members)
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _watch_once(
        self, member: _Member, prefix: str, revision: int
    ) -> AsyncGenerator[Sequence[Event], None]:
        """The batches of one stream until it breaks. Events of one revision may come in fragments."""
        stream = member.watch()
        create = wire.WatchCreateRequest(
            key=prefix.encode() or b"\0",
            range_end=_prefix_end(prefix.encode()),
            start_revision=revision,
            fragment=True,
        )
        pending: list[Event] = []
        try:
            await stream.write(wire.WatchRequest(create_request=create))
            while (answer := await stream.read()) is not _EOF:
                if answer.compact_revision:
                    raise Compacted(int(answer.compact_revision))
                if answer.canceled:
                    raise StorageError(f"etcd cancelled the watch: {answer.cancel_reason}")
                pending += map(_event, answer.events)
                if pending and not answer.fragment:
                    batch, pending = pending, []
                    yield batch
        finally:
            stream.cancel()

    async def close(self) -> None:
        """See the contract."""
        self._closed = True
        for member in self._members:
            await member.channel.close(None)


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


def _never_sent(error: grpc.aio.AioRpcError) -> bool:
    """Whether the request surely did not reach the server: there was no connection."""
    details = (error.details() or "").lower()
    return error.code() is grpc.StatusCode.UNAVAILABLE and (
        "failed to connect" in details or "connection refused" in details
    )


def _meaning(error: grpc.aio.AioRpcError) -> StorageError:
    details = error.details() or ""
    if error.code() is grpc.StatusCode.OUT_OF_RANGE:
        return FutureRevision(details) if "future" in details else Compacted()
    return Unavailable(details) if error.code() is grpc.StatusCode.INTERNAL else StorageError(details)
