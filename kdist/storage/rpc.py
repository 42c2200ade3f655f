"""gRPC calls over :mod:`kdist.storage.http2`: one server, a connection that is made when it is needed.

Messages are bytes here; what they mean is the caller's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

import hpack

from kdist.storage.http2 import Connection, Exchange
from kdist.storage.rpcstatus import CANCELLED, INTERNAL, UNAVAILABLE, RpcError

CONNECT_SECONDS = 5.0
_PREFIX = 5  # bytes before every message: compressed or not, and its length


class _Unary(Exchange):
    """One message each way."""

    __slots__ = ("_answer", "_parts")

    def __init__(self, answer: asyncio.Future[bytes], deadline: float) -> None:
        super().__init__(deadline)
        self._answer = answer
        self._parts: list[bytes] = []

    def receive(self, data: bytes) -> None:
        """Keep the piece."""
        self._parts.append(data)

    def finish(self, error: RpcError | None) -> None:
        """Settle the caller's future, unless the caller has left."""
        if self._answer.done():
            return
        if error is not None:
            self._answer.set_exception(error)
            return
        framed = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        if len(framed) < _PREFIX or framed[0]:
            self._answer.set_exception(RpcError(INTERNAL, "the answer is no plain message"))
        else:
            self._answer.set_result(framed[_PREFIX:])


class Stream(Exchange):
    """One message there, any number back, as they come."""

    __slots__ = ("_buffer", "_ended", "_error", "_messages", "_wake")

    def __init__(self) -> None:
        super().__init__(None)
        self._buffer = bytearray()
        self._messages: list[bytes] = []
        self._wake = asyncio.Event()
        self._ended = False
        self._error: RpcError | None = None

    def receive(self, data: bytes) -> None:
        """Cut whole messages off what has arrived."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _PREFIX:
            end = at + _PREFIX + int.from_bytes(buffer[at + 1 : at + _PREFIX], "big")
            if len(buffer) < end:
                break
            self._messages.append(bytes(buffer[at + _PREFIX : end]))
            at = end
        if at:
            del buffer[:at]
            self._wake.set()

    def finish(self, error: RpcError | None) -> None:
        """The server, or we, ended it."""
        self._ended, self._error = True, error
        self._wake.set()

    async def batches(self) -> AsyncIterator[list[bytes]]:
        """What has arrived since the last batch, until the end. RpcError when it was a bad one."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            messages, self._messages = self._messages, []
            if messages:
                yield messages
            if self._ended and not self._messages:
                break
        if self._error is not None:
            raise self._error


class Channel:
    """A server at a URL; calls connect when they have to, and share the connection."""

    def __init__(self, url: str, context: Callable[[], ssl.SSLContext] | None = None) -> None:
        """``context`` is asked at every connection: certificates change."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        self._host, self._port = parts.hostname or "localhost", parts.port or 2379
        self._context = context if parts.scheme == "https" else None
        self._scheme, self._authority = parts.scheme, parts.netloc
        self._heads: dict[str, bytes] = {}
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None

    async def unary(self, path: str, message: bytes, *, timeout: float) -> bytes:
        """Call a method: a message for a message. RpcError."""
        connection = self._connection
        if connection is None or not connection.usable:
            connection = await self._connected()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        connection.send(_Unary(answer, loop.time() + timeout), self._head(path), _framed(message))
        return await answer

    async def stream(self, path: str, message: bytes) -> tuple[Stream, Connection]:
        """Call a method that answers with a stream; ``end`` it on its connection. RpcError."""
        connection = await self._connected()
        stream = Stream()
        connection.send(stream, self._head(path), _framed(message))
        return stream, connection

    async def _connected(self) -> Connection:
        if self._connection is not None and self._connection.usable:
            return self._connection
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(), name="etcd-connect")
            self._connecting.add_done_callback(self._settled)
        return await asyncio.shield(self._connecting)

    def _settled(self, task: asyncio.Task[Connection]) -> None:
        self._connecting = None
        if not task.cancelled() and task.exception() is None:
            self._connection = task.result()

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, connection = await loop.create_connection(
                    Connection, self._host, self._port, ssl=self._context() if self._context else None
                )
        except (OSError, TimeoutError) as error:
            told = f"failed to connect to {self._authority}: {error or 'no answer'}"
            raise RpcError(UNAVAILABLE, told, unsent=True) from error
        return connection

    def _head(self, path: str) -> bytes:
        """The header block of a method's requests: always the same, and independent of what was sent before."""
        head = self._heads.get(path)
        if head is None:
            headers = {
                ":method": "POST",
                ":scheme": self._scheme,
                ":path": path,
                ":authority": self._authority,
                "content-type": "application/grpc",
                "te": "trailers",
                "user-agent": "kdist",
            }
            never = [hpack.NeverIndexedHeaderTuple(name, value) for name, value in headers.items()]
            head = self._heads[path] = bytes(hpack.Encoder().encode(never))
        return head

    async def close(self) -> None:
        """Let go of the connection; what is under way fails."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.abort()


def _framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def end(stream: Stream, connection: Connection) -> None:
    """Tell the server that nobody reads the stream any more."""
    connection.cancel(stream, RpcError(CANCELLED, "ended here"))
