"""SPDY/3.1 framing, as far as container streams need it: open streams, data, close, ping. Pure.

:class:`Session` is one end of a connection without its transport: ``receive`` takes bytes and gives events,
``send_*`` gives bytes. Servers of container streams neither send nor honour flow-control windows, so neither
does this; the transports' own flow control bounds memory.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_VERSION = 3
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY = 1, 2, 3, 6, 7
_FIN = 0x01
_MAX_FRAME = 64 * 1024

# The compression dictionary of SPDY/3: part of the wire format, in the order in which it is defined.
_NAMES = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges"
    " age allow authorization cache-control connection content-base content-encoding content-language"
    " content-length content-location content-md5 content-range content-type date etag expect expires from"
    " host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location"
    " max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer"
    " transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200|OK"
    " version HTTP/1.1 url public set-cookie keep-alive origin"
)
_CODES = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
)
_VALUES = (
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    words = (name.replace("|", " ").encode() for name in _NAMES.split(" "))
    counted = b"".join(struct.pack(">I", len(word)) + word for word in words)
    return counted + (_CODES + _VALUES).encode()


DICTIONARY = _dictionary()


class ProtocolError(Exception):
    """The peer does not speak SPDY/3.1."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer accepted a stream of ours (SYN_REPLY)."""

    stream: int


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes on a stream; ``last`` when the peer will send no more on it."""

    stream: int
    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """The peer gave a stream up."""

    stream: int


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered by ``Session.send_ping`` with the same number."""

    number: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The peer opens no more streams and is about to leave."""


Event = Opened | Data | Reset | Ping | GoAway


class Session:
    """The client's end of a connection; its streams have odd numbers."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._buffer = bytearray()
        self._next = 1

    def open_stream(self, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Open a stream: its number, and the frame to send."""
        stream, self._next = self._next, self._next + 2
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                block += struct.pack(">I", len(text)) + text
        compressed = self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        body = struct.pack(">IIH", stream, 0, 0) + compressed
        return stream, _control(_SYN_STREAM, 0, body)

    @staticmethod
    def send_data(stream: int, data: bytes, *, last: bool = False) -> bytes:
        """The frames that carry ``data``; with ``last`` our direction of the stream is closed."""
        pieces = [data[at : at + _MAX_FRAME] for at in range(0, len(data), _MAX_FRAME)] or [b""]
        frames = []
        for at, piece in enumerate(pieces):
            flags = _FIN if last and at == len(pieces) - 1 else 0
            frames.append(struct.pack(">II", stream, flags << 24 | len(piece)) + piece)
        return b"".join(frames)

    @staticmethod
    def send_ping(number: int) -> bytes:
        """The answer to a ping."""
        return _control(_PING, 0, struct.pack(">I", number))

    def receive(self, data: bytes) -> Iterator[Event]:
        """The events in the bytes that have arrived, frame by frame. Raises ProtocolError."""
        self._buffer += data
        while len(self._buffer) >= 8:
            head, tail = struct.unpack(">II", self._buffer[:8])
            length = tail & 0xFFFFFF
            if len(self._buffer) < 8 + length:
                return
            body = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            if head >> 31:
                yield from self._control_event(head, body)
            else:
                yield Data(head, body, bool(tail >> 24 & _FIN))

    def _control_event(self, head: int, body: bytes) -> Iterator[Event]:
        if head >> 16 & 0x7FFF != _VERSION:
            raise ProtocolError(f"SPDY version {head >> 16 & 0x7FFF}")
        kind = head & 0xFFFF
        if kind in (_SYN_STREAM, _SYN_REPLY):
            # Headers are compressed as one stream: every block must pass through, wanted or not.
            at = 10 if kind == _SYN_STREAM else 4
            try:
                self._inflate.decompress(body[at:])
            except zlib.error as error:
                raise ProtocolError(f"headers: {error}") from error
        if kind == _SYN_REPLY:
            yield Opened(_number(body))
        elif kind == _RST_STREAM:
            yield Reset(_number(body))
        elif kind == _PING:
            yield Ping(_number(body))
        elif kind == _GOAWAY:
            yield GoAway()


def _control(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | _VERSION, kind, flags << 24 | len(body)) + body


def _number(body: bytes) -> int:
    number: int = struct.unpack(">I", body[:4])[0]
    return number & 0x7FFFFFFF
