"""The HTTP protocol below the application: uvicorn's, with client certificates and raw upgrades.

Two things the stock protocol keeps to itself reach the ASGI scope's ``extensions``:

- ``tls``: ``{"client_cert": DER bytes or None}``, the peer's certificate as the TLS layer accepted it;
- ``upgrade``: present when the client asks to leave HTTP (SPDY/3.1, WebSocket). Calling it hands the connection
  over as a :class:`RawConnection`; nothing has been answered then, so a refusal can be a normal response.

Written against uvicorn's httptools implementation; tests/unit/apiserver/test_server.py holds it to that.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CORK_LIMIT = 16 * 1024  # bytes: one TLS record; larger writes gain nothing from being joined
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


class _Corked:
    """A transport whose small writes of one turn of the loop leave as one: head and body in one TLS record."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold small data until the loop's next turn; large data takes it along at once."""
        if len(data) > CORK_LIMIT:
            self.flush()
            self._transport.write(data)
            return
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)

    def flush(self) -> None:
        """Write what is held."""
        if self._held:
            held, self._held = self._held, []
            if not self._transport.is_closing():
                self._transport.write(b"".join(held))

    def close(self) -> None:
        """Close after everything was written."""
        self.flush()
        self._transport.close()


class Protocol(HttpToolsProtocol):
    """One client connection."""

    _certificate: bytes | None = None
    _head: bytes = b""
    _upgrading = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the transport, after the TLS handshake."""
        super().connection_made(transport)
        self.transport = cast(asyncio.Transport, _Corked(transport, self.loop))
        tls = transport.get_extra_info("ssl_object")
        self._certificate = tls.getpeercert(binary_form=True) if tls is not None else None

    def on_message_begin(self) -> None:
        """Called by the parser."""
        super().on_message_begin()
        cast(dict[str, Any], self.scope)["extensions"] = {"tls": {"client_cert": self._certificate}}

    def on_headers_complete(self) -> None:
        """Called by the parser: offer the upgrade before the application starts."""
        if self.parser.should_upgrade() and self._get_upgrade() in (b"spdy/3.1", b"websocket"):
            cast(dict[str, Any], self.scope)["extensions"]["upgrade"] = self._hand_over
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Called by the transport: bytes after an upgrade request belong to the new protocol."""
        self._unset_keepalive_if_required()
        if self._head or self._upgrading:
            self._head += data
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrading = True
            self.cycle.keep_alive = False  # the parser cannot go on after it
            self._head = data[upgrade.args[0] :]
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def _hand_over(self) -> RawConnection:
        raw = RawConnection(self.transport, self._head)
        self.connections.discard(self)
        self.cycle.disconnected = True  # the cycle neither answers nor complains any more
        self.transport.set_protocol(raw)
        return raw
