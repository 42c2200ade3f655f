"""One request and its answer on a connection: the ASGI side of :mod:`kdist.apiserver.protocol`.

uvicorn's cycle writes head and body apart, looks at every header with regular expressions and builds an event and a
timer per request. Here the head waits for the first piece of the body, so that a small answer is one write and
one TLS record, and what answers never need is not made. The contract is ASGI's; the protocol owns the cycle.

Invariants: nothing is written after the connection is gone or handed over; an answer whose body does not have the
promised length ends the connection, because the client could not tell where the next answer begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl

from kdist.telemetry import log

_log = log.get(__name__)
Message = dict[str, Any]
Header = tuple[bytes, bytes]
App = Callable[[Any, Any, Any], Any]
JOIN_LIMIT = 64 * 1024  # bytes of a body that are copied to go out together with the head

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_UNAVAILABLE = b"Internal Server Error"
_WITHOUT_BODY = frozenset({204, 304})


class Cycle:
    """Runs the application for one request; ``on_end`` is called when the answer is complete."""

    __slots__ = (
        "_chunked",
        "_defaults",
        "_delivered",
        "_flow",
        "_head",
        "_on_end",
        "_remaining",
        "_started",
        "_transport",
        "_waits_for_continue",
        "_wake",
        "body",
        "disconnected",
        "keep_alive",
        "more_body",
        "response_complete",
        "scope",
    )

    def __init__(
        self,
        scope: Any,
        transport: asyncio.Transport,
        flow: FlowControl,
        *,
        defaults: Iterable[Header],
        keep_alive: bool,
        expects_continue: bool,
        on_end: Callable[[], None],
    ) -> None:
        self.scope = scope
        self._transport, self._flow, self._defaults, self._on_end = transport, flow, defaults, on_end
        self.keep_alive = keep_alive
        self._waits_for_continue = expects_continue
        self.body = bytearray()
        self.more_body = True  # of the request
        self.disconnected = False
        self.response_complete = False
        self._delivered = False  # the whole body of the request is in the application's hands
        self._head = b""  # of the answer, until it is written
        self._started = False
        self._chunked = False
        self._remaining = 0  # bytes of the answer still promised, when it is not chunked
        self._wake: asyncio.Future[None] | None = None

    async def run(self, app: App) -> None:
        """Let the application answer. What it raises ends the connection: it answers its own errors."""
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:  # noqa: BLE001 - the supervisor of every connection's requests
            _log.error("request failed below the application", exc_info=True, path=self.scope["path"])
        if self.disconnected or self.response_complete:
            return
        if self._started:
            self._transport.close()
            return
        length = b"%d" % len(_UNAVAILABLE)
        await self.send(
            {"type": "http.response.start", "status": 500, "headers": [(b"content-length", length)]}
        )
        await self.send({"type": "http.response.body", "body": _UNAVAILABLE})

    # ----- the request's side

    def wake(self) -> None:
        """Something arrived, or the connection is gone: let :meth:`receive` look."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def receive(self) -> Message:
        """The next part of the body; ``http.disconnect`` when the client went or has its answer."""
        if self._waits_for_continue and not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._waits_for_continue = False
        while self._is_open() and (self._delivered or (self.more_body and not self.body)):
            await self._more()
        if not self._is_open():
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        self._delivered = not self.more_body
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    def _is_open(self) -> bool:
        return not (self.disconnected or self.response_complete)

    async def _more(self) -> None:
        self._flow.resume_reading()
        self._wake = asyncio.get_running_loop().create_future()
        await self._wake

    # ----- the answer's side

    async def send(self, message: Message) -> None:
        """Write the answer, as fast as the client reads it."""
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self._start(message["status"], message["headers"])
        else:
            self._body(message.get("body", b""), more=message.get("more_body", False))

    def push(self, piece: bytes) -> bool:
        """Write a piece of a begun answer now. False, and nothing written, if :meth:`send` would wait."""
        if self._flow.write_paused or self.disconnected:
            return False
        self._body(piece, more=True)
        return True

    def _start(self, status: int, headers: Iterable[Header]) -> None:
        self._started, self._waits_for_continue = True, False
        parts = [_STATUS_LINES[status]]
        length = None
        for name, value in (*self._defaults, *headers):
            name = name.lower()
            if b"\n" in value or b"\r" in value:
                raise ValueError(f"header {name!r} has more than one line")
            if name == b"content-length":
                length = int(value)
            elif name == b"connection":
                self.keep_alive = self.keep_alive and value.lower() != b"close"
                continue
            parts += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        bodiless = self.scope["method"] == "HEAD" or status in _WITHOUT_BODY
        if length is None and not bodiless:
            self._chunked = True
            parts.append(b"transfer-encoding: chunked\r\n")
        self._remaining = 0 if bodiless else length or 0
        parts.append(b"\r\n")
        self._head = b"".join(parts)

    def _body(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            body = b""
        elif self._chunked:
            body = _chunk(body, more)
        else:
            self._remaining -= len(body)
        head, self._head = self._head, b""
        if head and len(body) < JOIN_LIMIT:
            self._transport.write(head + body)
        else:
            if head:
                self._transport.write(head)
            if body:
                self._transport.write(body)
        if more:
            return
        self.response_complete = True
        if self._remaining:
            _log.error("an answer is not as long as its head said", path=self.scope["path"])
            self.keep_alive = False
        self.wake()
        if not self.keep_alive:
            self._transport.close()
        self._on_end()


def _chunk(body: bytes, more: bool) -> bytes:
    framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return framed if more else framed + b"0\r\n\r\n"
