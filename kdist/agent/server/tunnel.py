"""A connection that left HTTP, handed through byte by byte to the runtime's streaming server and back.

The runtime speaks SPDY/3.1 and (depending on its release) some WebSocket subprotocols; a client's upgrade
request goes to it with its own headers, and what it answers goes back. This server only looks at the answer's
status: 101 makes a tunnel, anything else is passed on as the refusal that it is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

_CONNECT_SECONDS = 10.0
_HEAD_LIMIT = 64 * 1024
_PIECE = 64 * 1024
_HIGH_WATER = 256 * 1024
# The request headers that decide how a stream is spoken; nothing else of the client's reaches the runtime.
_PASSED = (
    "connection",
    "upgrade",
    "origin",
    "x-stream-protocol-version",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
)


class StreamRefused(Exception):
    """The runtime's streaming server cannot be reached or answers nonsense."""


@dataclass(slots=True)
class Upstream:
    """A connection to the runtime's streaming server, after its answer's head."""

    status: int
    headers: list[tuple[str, str]]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def close(self) -> None:
        """Give the connection up."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


async def connect(url: str, method: str, headers: Iterable[tuple[str, str]]) -> Upstream:
    """Send an upgrade request to ``url``. Raises StreamRefused."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(
                parts.hostname, parts.port or 80, limit=_HEAD_LIMIT
            )
            lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}"]
            lines += [f"{name}: {value}" for name, value in headers]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
            head = await reader.readuntil(b"\r\n\r\n")
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise StreamRefused(f"the container runtime's streaming server failed: {error!r}") from error
    status, answered = parse_head(head)
    return Upstream(status, answered, reader, writer)


def parse_head(head: bytes) -> tuple[int, list[tuple[str, str]]]:
    """Status code and headers of a response head. Raises StreamRefused."""
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    version, _, rest = first.partition(" ")
    code = rest[:3]
    if not version.startswith("HTTP/1.") or not code.isdigit():
        raise StreamRefused(f"the container runtime's streaming server answered {first[:80]!r}")
    pairs = (line.partition(":") for line in lines)
    return int(code), [(name.strip(), value.strip()) for name, _, value in pairs]


def passed_headers(request: web.Request) -> list[tuple[str, str]]:
    """The client's headers that go to the runtime; all values of a repeated one."""
    return [(name, value) for name, value in request.headers.items() if name.lower() in _PASSED]


class Inbound:
    """What the client sends after the upgrade. aiohttp feeds it as the connection's new parser."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self._ended = False
        self._paused = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Called with bytes from the client; the connection goes on."""
        self._buffer += data
        self._arrived.set()
        if len(self._buffer) > _HIGH_WATER and not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()
        return False, b""

    def feed_eof(self) -> None:
        """Called when the connection is gone."""
        self._ended = True
        self._arrived.set()

    async def read(self) -> bytes:
        """What has arrived; empty at the end."""
        while not self._buffer and not self._ended:
            self._arrived.clear()
            await self._arrived.wait()
        data = bytes(self._buffer)
        self._buffer.clear()
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        return data


async def pass_through(request: web.Request, upstream: Upstream) -> web.StreamResponse:
    """Answer the client as the runtime did and, after a 101, copy until either side ends."""
    response = web.StreamResponse(status=upstream.status)
    kept = [(n, v) for n, v in upstream.headers if n.lower() not in ("transfer-encoding", "date")]
    for name, value in kept:
        response.headers.add(name, value)
    if upstream.status != 101:
        return await _refuse(request, response, upstream)
    await response.prepare(request)
    transport = request.transport
    if transport is None:
        return response
    inbound = Inbound(transport)
    request.protocol.keep_alive(False)
    request.protocol.set_parser(inbound)  # type: ignore[arg-type]  # what it calls is there
    await _copy_both(request, transport, inbound, upstream)
    transport.close()
    return response


async def _refuse(
    request: web.Request, response: web.StreamResponse, upstream: Upstream
) -> web.StreamResponse:
    response.headers.pop("Connection", None)
    response.force_close()
    length = int(response.headers.pop("Content-Length", 0))
    body = await upstream.reader.read(length or _PIECE)
    await response.prepare(request)
    await response.write(body)
    await response.write_eof()
    return response


async def _copy_both(
    request: web.Request, transport: asyncio.Transport, inbound: Inbound, upstream: Upstream
) -> None:
    async def to_client() -> None:
        while data := await upstream.reader.read(_PIECE):
            transport.write(data)
            await request.writer.drain()

    async def to_runtime() -> None:
        while data := await inbound.read():
            upstream.writer.write(data)
            await upstream.writer.drain()

    await until_first(to_client(), to_runtime())


async def until_first(*copies: Coroutine[Any, Any, None]) -> None:
    """Run coroutines until the first one ends, then cancel the others; broken connections just end."""
    tasks = [asyncio.create_task(copy, name="tunnel") for copy in copies]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, OSError):
            raise result
