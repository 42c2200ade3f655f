"""SPDY/3.1 frames, against the published constants and a second decoder."""

from __future__ import annotations

import struct
import zlib

import pytest

from kdist.agent.server import spdy
from kdist.agent.server.spdy import Data, GoAway, Opened, Ping, ProtocolError, Reset, Session


def _control(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(body)) + body


def test_dictionary_is_the_published_one() -> None:
    assert (len(spdy.DICTIONARY), zlib.adler32(spdy.DICTIONARY)) == (1423, 0xE3C6A7C2)


def test_streams_are_odd_and_their_headers_decode() -> None:
    session, inflate = Session(), zlib.decompressobj(zdict=spdy.DICTIONARY)
    for number, kind in ((1, b"error"), (3, b"stdin")):
        stream, frame = session.open_stream({"streamType": kind.decode()})
        assert stream == number
        assert struct.unpack(">HH", frame[:4]) == (0x8003, 1)
        block = inflate.decompress(frame[18:])
        assert block == struct.pack(">II", 1, 10) + b"streamtype" + struct.pack(">I", len(kind)) + kind


def test_events_come_from_any_split_of_the_bytes() -> None:
    deflate = zlib.compressobj(zdict=spdy.DICTIONARY)
    headers = deflate.compress(struct.pack(">I", 0)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    wire = (
        _control(2, struct.pack(">I", 1) + headers)
        + Session.send_data(1, b"hello")
        + Session.send_data(1, b"", last=True)
        + _control(3, struct.pack(">II", 3, 5))
        + Session.send_ping(7)
        + _control(7, struct.pack(">II", 0, 0))
    )
    session = Session()
    events = [event for byte in wire for event in session.receive(bytes([byte]))]
    assert events == [Opened(1), Data(1, b"hello", False), Data(1, b"", True), Reset(3), Ping(7), GoAway()]


def test_large_data_is_cut_and_only_the_end_is_marked() -> None:
    frames = Session.send_data(1, b"x" * 150_000, last=True)
    events = [e for e in Session().receive(frames) if isinstance(e, Data)]
    assert sum(len(e.data) for e in events) == 150_000
    assert [e.last for e in events] == [False, False, True]


def test_other_versions_are_refused() -> None:
    with pytest.raises(ProtocolError):
        list(Session().receive(struct.pack(">HHI", 0x8002, 6, 4) + b"\0\0\0\1"))
