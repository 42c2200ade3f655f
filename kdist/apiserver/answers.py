"""Writing answers: JSON or YAML objects, Status errors, large bodies in chunks and compressed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from kdist.api.errors import ApiError
from kdist.apiserver import negotiation, packing
from kdist.apiserver.negotiation import JSON, PLAIN, YAML, Form
from kdist.apiserver.request import Request, Send

GZIP_FROM = 128 * 1024  # bytes, upstream's threshold: smaller answers cost more than they save
CHUNK = 256 * 1024  # bytes per write: larger TLS writes stall the loop
Headers = list[tuple[bytes, bytes]]
_JSON_TYPE = (b"content-type", JSON.encode())
_GZIP = [(b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")]
_UNCACHED = (b"cache-control", b"no-cache, private")


class Items(NamedTuple):
    """The objects of a list as pieces of JSON, and what stands between them."""

    parts: Sequence[bytes | memoryview]
    between: bytes = b","


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
        pieces = (body[at : at + CHUNK] for at in range(0, len(body), CHUNK))
        await send_large(
            request, send, pieces, len(body), status=status, content_type=content_type, extra=extra
        )
        return
    start = head(request, status, content_type, extra)
    start["headers"].append((b"content-length", b"%d" % len(body)))
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def send_object(
    request: Request, send: Send, obj: Any, form: Form = PLAIN, *, status: int = 200
) -> None:
    """An object in the form the client wants."""
    body = render(obj, form, pretty=form.pretty or request.pretty)
    await send_bytes(request, send, body, status=status, content_type=form.media_type)


async def send_error(request: Request, send: Send, error: ApiError) -> None:
    """The Status of an error; details.retryAfterSeconds becomes a header."""
    extra = dict(error.headers)
    if "retryAfterSeconds" in error.details:
        extra.setdefault("Retry-After", str(error.details["retryAfterSeconds"]))
    media_type = negotiation.of_errors(request.header(b"accept"))
    body = render(error.status(), Form(media_type), pretty=request.pretty)
    await send_bytes(request, send, body, status=error.code, content_type=media_type, extra=extra.items())


async def send_large(
    request: Request,
    send: Send,
    chunks: Iterable[bytes],
    size: int,
    *,
    status: int = 200,
    content_type: str = JSON,
    extra: Iterable[tuple[str, str]] = (),
) -> None:
    """An answer of ``size`` bytes in chunks: compressed when the client takes gzip and it is worth it."""
    start = head(request, status, content_type, extra)
    if is_packed(request, size):
        start["headers"] += _GZIP
        await send(start)
        await _send_compressed(send, chunks)
        return
    start["headers"].append((b"content-length", b"%d" % size))
    await send(start)
    for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send_compressed(send: Send, chunks: Iterable[bytes]) -> None:
    compressor = packing.compressor()
    for chunk in chunks:
        # compression lets go of the interpreter lock: other requests go on meanwhile
        packed = await asyncio.to_thread(compressor.compress, chunk)
        if packed:
            await send({"type": "http.response.body", "body": packed, "more_body": True})
    await send({"type": "http.response.body", "body": compressor.flush()})


async def send_list(request: Request, send: Send, first: bytes, items: Items, last: bytes) -> None:
    """A list of objects that are bytes already."""
    between = len(items.between) * max(0, len(items.parts) - 1)
    size = sum(map(len, items.parts)) + between + len(first) + len(last)
    await send_large(request, send, _list_chunks(first, items, last), size)


def _list_chunks(first: bytes, items: Items, last: bytes) -> Iterator[bytes]:
    pending: list[bytes | memoryview] = [first]
    length, between = 0, b""
    for part in items.parts:
        pending += (between, part)
        between = items.between
        length += len(part)
        if length >= CHUNK:
            yield b"".join(pending)
            pending, length = [], 0
    yield b"".join([*pending, last])


async def send_packed(request: Request, send: Send, pieces: Iterable[tuple[bytes, bool]]) -> None:
    """A list as :class:`kdist.apiserver.packing.Packer` makes it; others get their turn between new pieces."""
    start = head(request, 200, JSON)
    start["headers"] += _GZIP
    await send(start)
    pending: list[bytes] = []
    size = 0
    for piece, new in pieces:
        pending.append(piece)
        size += len(piece)
        if size >= CHUNK:
            await send({"type": "http.response.body", "body": b"".join(pending), "more_body": True})
            pending, size = [], 0
        elif new:
            await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"".join(pending)})


def is_packed(request: Request, size: int) -> bool:
    """Whether an answer of that size is compressed."""
    return size > GZIP_FROM and accepts_gzip(request)


def accepts_gzip(request: Request) -> bool:
    """Whether the client names gzip as an encoding, without a quality, as upstream reads it."""
    return "gzip" in [token.strip() for token in request.header(b"accept-encoding").split(",")]


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
