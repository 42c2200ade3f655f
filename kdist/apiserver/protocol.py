"""The HTTP protocol below the application: uvicorn's, with client certificates and raw upgrades.

Three things the stock protocol keeps to itself reach the ASGI scope's ``extensions``:

- ``tls``: ``{"client_cert": DER bytes or None}``, the peer's certificate as the TLS layer accepted it;
- ``upgrade``: present when the client asks to leave HTTP (SPDY/3.1, WebSocket). Calling it hands the connection
  over as a :class:`RawConnection`; nothing has been answered then, so a refusal can be a normal response;
- ``push``: writes a piece of a begun answer without waiting, :meth:`kdist.apiserver.cycle.Cycle.push`.

Requests run as :class:`kdist.apiserver.cycle.Cycle`. Written against uvicorn's httptools implementation;
tests/unit/apiserver/serving/test_server.py holds it to that.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from collections import deque
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kdist.apiserver.cycle import Cycle

MAX_HEAD = 1024 * 1024  # bytes of request line and headers, as upstream
MAX_UNWANTED = 8 * 1024 * 1024  # bytes of a body that go on after the answer, before the connection is closed
LINGER_SECONDS = 0.5  # in which a refused client can read why, as upstream
READ_HIGH_WATER = 256 * 1024  # bytes buffered from a client before it is made to wait


class RawConnection(asyncio.Protocol):
    """A connection after its HTTP life: a byte stream with flow control in both directions."""

    def __init__(self, transport: asyncio.Transport, head: bytes) -> None:
        self._transport = transport
        self._buffer = bytearray(head)
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended = False
        if head:
            self._readable.set()

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        self._buffer += data
        self._readable.set()
        if len(self._buffer) > READ_HIGH_WATER:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Called by the transport, which then closes: TLS knows no half-closed connections."""
        self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport."""
        self._end()
        self._writable.set()

    def pause_writing(self) -> None:
        """Called by the transport."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Called by the transport."""
        self._writable.set()

    def _end(self) -> None:
        self._ended = True
        self._readable.set()

    async def read(self) -> bytes:
        """What has arrived; empty at the end of the stream."""
        while not self._buffer and not self._ended:
            self._readable.clear()
            await self._readable.wait()
        data, self._buffer = bytes(self._buffer), bytearray()
        if data and not self._transport.is_closing():
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send, waiting while the client reads slower than we write."""
        await self._writable.wait()
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Close after what was written has been sent."""
        self._transport.close()


class Protocol(HttpToolsProtocol):
    """One client connection."""

    cycle: Cycle | None  # type: ignore[assignment]  # where uvicorn has its own kind
    _certificate: bytes | None = None
    _head: bytes = b""
    _upgrading = False
    _unwanted = 0
    _head_size: int | None = None  # bytes that came since a head began; None between heads
    _idle_since = 0.0
    _idle_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the transport, after the TLS handshake."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        self._certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        self._queued: deque[Cycle] = deque()
        self._idle_since = self.loop.time()
        self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport: whoever still answers learns that nobody listens."""
        self.connections.discard(self)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self.cycle is not None:
            self.cycle.disconnected = self.cycle.disconnected or not self.cycle.response_complete
            self.cycle.wake()
        for cycle in self._queued:
            cycle.disconnected = True
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        self.parser = None  # type: ignore[assignment]

    def _close_if_idle(self) -> None:
        """One timer per connection, not one per request: look how long nothing has happened."""
        if self.transport.is_closing():
            return
        idle = 0.0 if self._is_busy else self.loop.time() - self._idle_since
        if idle >= self.timeout_keep_alive:
            self.transport.close()
        else:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive - idle, self._close_if_idle)

    @property
    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # ----- the parser's callbacks

    def on_message_begin(self) -> None:
        """Called by the parser."""
        super().on_message_begin()
        self._head_size = 0
        cast(dict[str, Any], self.scope)["extensions"] = {"tls": {"client_cert": self._certificate}}

    def on_headers_complete(self) -> None:
        """Called by the parser: offer the upgrade, then let the application start."""
        self._head_size = None
        scope, parser = cast(dict[str, Any], self.scope), self.parser
        upgrading = parser.should_upgrade() and self._get_upgrade() in (b"spdy/3.1", b"websocket")
        if upgrading:
            scope["extensions"]["upgrade"] = self._hand_over
        version = scope["http_version"] = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["raw_path"], scope["query_string"] = url.path, url.query or b""
        waiting = self._is_busy
        cycle = Cycle(
            scope,
            self.transport,
            self.flow,
            defaults=self.server_state.default_headers,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            expects_continue=self.expect_100_continue,
            on_end=self.on_response_complete,
        )
        self.cycle = cycle
        scope["extensions"]["push"] = cycle.push
        if waiting:  # pipelined: one after the other
            self.flow.pause_reading()
            self._queued.appendleft(cycle)
        else:
            self._run(cycle)

    def _run(self, cycle: Cycle) -> None:
        task = self.loop.create_task(cycle.run(self.app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._unwanted += len(body)
            if self._unwanted > MAX_UNWANTED:
                self.transport.abort()
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.wake()

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self.cycle is not None:
            self.cycle.more_body = False
            self.cycle.wake()

    def on_response_complete(self) -> None:
        """Called by the cycle: read on, or begin with what the client has sent meanwhile."""
        self._idle_since = self.loop.time()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self._queued:
            self._run(self._queued.pop())

    # ----- the transport's callbacks

    def data_received(self, data: bytes) -> None:
        """Called by the transport: bytes after an upgrade request belong to the new protocol."""
        if self.transport.is_closing():
            return
        if self._head or self._upgrading:
            self._head += data
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrading = True
            if self.cycle is not None:
                self.cycle.keep_alive = False  # the parser cannot go on after it
            self._head = data[upgrade.args[0] :]
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        if self._head_size is not None:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD and not self.transport.is_closing():
                self._refuse_head()

    def _refuse_head(self) -> None:
        """Neither headers nor a request line may go on for ever."""
        told = b"Request header fields too large"
        head = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
        self.transport.write(head + b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(told), told))
        self.transport.close()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)  # closing would take all that still comes

    def _hand_over(self) -> RawConnection:
        raw = RawConnection(self.transport, self._head)
        self.connections.discard(self)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self.cycle is not None:
            self.cycle.disconnected = True  # the cycle neither answers nor complains any more
        self.transport.set_protocol(raw)
        return raw
