"""Writing answers: JSON or YAML objects, Status errors, large bodies in chunks and compressed."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from kdist.api.errors import ApiError
from kdist.apiserver.negotiation import JSON, PLAIN, YAML, Form
from kdist.apiserver.request import Request, Send

GZIP_FROM = 128 * 1024  # bytes, upstream's threshold: smaller answers cost more than they save
CHUNK = 256 * 1024  # bytes per write: larger TLS writes stall the loop
Headers = list[tuple[bytes, bytes]]
_JSON_TYPE = (b"content-type", JSON.encode())
_UNCACHED = (b"cache-control", b"no-cache, private")


def render(obj: Any, form: Form = PLAIN, *, pretty: bool = False) -> bytes:
    """An object in the client's media type."""
    if form.media_type == YAML:
        import yaml

        return yaml.safe_dump(obj, sort_keys=True, default_flow_style=False).encode()
    return orjson.dumps(obj, option=orjson.OPT_INDENT_2 if pretty else None)


def head(
    request: Request, status: int, content_type: str, extra: Iterable[tuple[str, str]] = ()
) -> dict[str, Any]:
    """The ``http.response.start`` message; warnings that were gathered become headers."""
    headers: Headers = [
        _JSON_TYPE if content_type is JSON else (b"content-type", content_type.encode()),
        _UNCACHED,
        (b"audit-id", request.audit_id.encode("latin-1")),
    ]
    if extra:
        headers += [(name.encode(), value.encode("latin-1", "replace")) for name, value in extra]
    if request.warnings:
        headers += [(b"warning", b'299 - "%b"' % _quoted(text)) for text in request.warnings]
    return {"type": "http.response.start", "status": status, "headers": headers}


def _quoted(text: str) -> bytes:
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ").replace("\r", " ")
    return text.encode("utf-8")


async def send_bytes(
    request: Request,
    send: Send,
    body: bytes,
    *,
    status: int = 200,
    content_type: str = JSON,
    extra: Iterable[tuple[str, str]] = (),
) -> None:
    """A whole answer."""
    if len(body) > GZIP_FROM:
        await send_parts(request, send, [body], status=status, content_type=content_type)
        return
    start = head(request, status, content_type, extra)
    start["headers"].append((b"content-length", b"%d" % len(body)))
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def send_object(
    request: Request, send: Send, obj: Any, form: Form = PLAIN, *, status: int = 200
) -> None:
    """An object in the form the client wants."""
    body = render(obj, form, pretty=request.pretty)
    await send_bytes(request, send, body, status=status, content_type=form.media_type)


async def send_error(request: Request, send: Send, error: ApiError) -> None:
    """The Status of an error; details.retryAfterSeconds becomes a header."""
    extra = dict(error.headers)
    if "retryAfterSeconds" in error.details:
        extra.setdefault("Retry-After", str(error.details["retryAfterSeconds"]))
    body = render(error.status(), pretty=request.pretty)
    await send_bytes(request, send, body, status=error.code, extra=extra.items())


async def send_parts(
    request: Request, send: Send, parts: list[bytes], *, status: int = 200, content_type: str = JSON
) -> None:
    """A large answer from many pieces: joined into chunks, compressed when the client takes gzip."""
    start = head(request, status, content_type)
    size = sum(map(len, parts))
    if size > GZIP_FROM and "gzip" in request.header(b"accept-encoding"):
        start["headers"] += [(b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")]
        await send(start)
        await _send_compressed(send, parts)
        return
    start["headers"].append((b"content-length", b"%d" % size))
    await send(start)
    for chunk in chunks(parts):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send_compressed(send: Send, parts: list[bytes]) -> None:
    compressor = zlib.compressobj(1, wbits=31)
    for chunk in chunks(parts, CHUNK * 4):
        # zlib lets go of the interpreter lock: other requests go on meanwhile
        packed = await asyncio.to_thread(compressor.compress, chunk)
        if packed:
            await send({"type": "http.response.body", "body": packed, "more_body": True})
    await send({"type": "http.response.body", "body": compressor.flush()})


def chunks(parts: Iterable[bytes], size: int = CHUNK) -> Iterator[bytes]:
    """The same bytes in pieces of about ``size``."""
    pending: list[bytes] = []
    length = 0
    for part in parts:
        pending.append(part)
        length += len(part)
        if length >= size:
            joined = b"".join(pending)
            if length > 2 * size:
                yield from (joined[at : at + size] for at in range(0, length, size))
            else:
                yield joined
            pending, length = [], 0
    if pending:
        yield b"".join(pending)
