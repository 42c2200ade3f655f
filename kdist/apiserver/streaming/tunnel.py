"""Upgraded connections, handed through byte by byte.

The client's upgrade request goes to the other end with its own protocol headers; only when that agrees (101)
does the client's connection leave HTTP. A refusal comes back as an ordinary answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterable
from dataclasses import dataclass

from kdist.api.errors import BadRequest, ServiceUnavailable
from kdist.apiserver import answers
from kdist.apiserver.protocol import RawConnection
from kdist.apiserver.request import Request, Send
from kdist.apiserver.streaming.location import Location
from kdist.telemetry import log

_log = log.get(__name__)
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
HEAD_LIMIT = 64 * 1024
PIECE = 64 * 1024
BODY_LIMIT = 64 * 1024  # bytes of a refusal that are passed on
# What decides how a stream is spoken; credentials stay here.
_PASSED = frozenset(
    {
        b"connection",
        b"upgrade",
        b"origin",
        b"user-agent",
        b"x-stream-protocol-version",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-protocol",
        b"sec-websocket-extensions",
    }
)
_TOKEN_PROTOCOL = b"base64url.bearer.authorization.k8s.io."


@dataclass(slots=True)
class _Answer:
    status: int
    head: bytes  # status line and headers with the empty line
    headers: dict[bytes, bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


async def connect(location: Location) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the other end. ServiceUnavailable."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await asyncio.open_connection(
                location.host,
                location.port,
                ssl=location.context,
                server_hostname=(location.server_name or location.host) if location.context else None,
                limit=HEAD_LIMIT,
            )
    except (OSError, ssl.SSLError, TimeoutError) as error:
        raise ServiceUnavailable(
            f"error dialing backend: dial tcp {location.authority}: {error or 'timed out'}"
        ) from error


async def tunnel(
    request: Request,
    send: Send,
    location: Location,
    target: str,
    *,
    stopping: asyncio.Event,
    extra: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Pass an upgrade request on to ``target`` and then everything in both directions. ServiceUnavailable."""
    if not request.wants_upgrade:
        raise BadRequest("Upgrade request required")
    reader, writer = await connect(location)
    try:
        writer.write(_head(request, location, target, extra))
        answer = await _answer(reader, writer)
        if answer.status != 101:
            await _refused(request, send, answer)
            return
        client = request.take_connection()
        try:
            await client.write(answer.head)
            await _copy_both(client, reader, writer, stopping)
        finally:
            client.close()
    finally:
        writer.close()


def _head(request: Request, location: Location, target: str, extra: Iterable[tuple[bytes, bytes]]) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (request.method.encode(), target.encode("latin-1", "replace"))]
    lines.append(b"Host: " + location.authority.encode())
    for name, value in (*request.scope["headers"], *extra):
        if name == b"sec-websocket-protocol":
            value = _without_token(value)
            if not value:
                continue
        if name in _PASSED or (name, value) in extra:
            lines.append(name + b": " + value)
    lines.append(b"Content-Length: 0")
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _without_token(protocols: bytes) -> bytes:
    kept = [p.strip() for p in protocols.split(b",") if not p.strip().startswith(_TOKEN_PROTOCOL)]
    return b", ".join(kept)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Answer:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
    except (OSError, EOFError, asyncio.LimitOverrunError, TimeoutError) as error:
        raise ServiceUnavailable(f"the backend did not answer: {error or 'timed out'}") from error
    first, *rest = head[:-4].split(b"\r\n")
    parts = first.split(b" ", 2)
    if len(parts) < 2 or not parts[1].isdigit():
        raise ServiceUnavailable("the backend's answer is not HTTP")
    pairs = (line.partition(b":") for line in rest)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return _Answer(int(parts[1]), head, headers, reader, writer)


async def _refused(request: Request, send: Send, answer: _Answer) -> None:
    """Pass a refusal on as it is."""
    length = answer.headers.get(b"content-length", b"")
    body = b""
    with contextlib.suppress(OSError, EOFError, TimeoutError):
        async with asyncio.timeout(5.0):
            if length.isdigit():
                body = await answer.reader.readexactly(min(int(length), BODY_LIMIT))
    content_type = answer.headers.get(b"content-type", b"text/plain").decode("latin-1")
    await answers.send_bytes(request, send, body, status=answer.status, content_type=content_type)


async def _copy_both(
    client: RawConnection,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    stopping: asyncio.Event,
) -> None:
    """Until one side ends, both do, or the server stops."""
    down = asyncio.create_task(_down(reader, client), name="tunnel-down")
    up = asyncio.create_task(_up(client, writer), name="tunnel-up")
    stop = asyncio.create_task(stopping.wait(), name="tunnel-stop")
    try:
        done, _ = await asyncio.wait((down, up, stop), return_when=asyncio.FIRST_COMPLETED)
        if up in done and not {down, stop} & done:
            # the client said all it has to say; what is still on its way to it may arrive
            await asyncio.wait((down, stop), timeout=ANSWER_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (down, up, stop):
            task.cancel()
        await asyncio.gather(down, up, stop, return_exceptions=True)


async def _down(reader: asyncio.StreamReader, client: RawConnection) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(PIECE):
            await client.write(data)


async def _up(client: RawConnection, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await client.read():
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
