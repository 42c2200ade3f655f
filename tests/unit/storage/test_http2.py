"""gRPC over our HTTP/2 connection, told what a server might say frame by frame."""

from __future__ import annotations

import asyncio
import struct

import hpack
import pytest

from kdist.storage import http2
from kdist.storage.http2 import Connection, frame
from kdist.storage.rpc import Stream, _framed, _Unary
from kdist.storage.rpcstatus import DEADLINE_EXCEEDED, INTERNAL, OUT_OF_RANGE, UNAVAILABLE, RpcError

NEVER = 1e9  # loop time


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def frames(self) -> list[tuple[int, int, int, bytes]]:
        data, found = self.written.removeprefix(http2.PREFACE), []
        while data:
            high, low, kind, flags, stream = struct.unpack_from(">BHBBI", data)
            length = high << 16 | low
            found.append((kind, flags, stream, data[9 : 9 + length]))
            data = data[9 + length :]
        self.written = b""
        return found


class Peer:
    """A connection with its far side."""

    def __init__(self) -> None:
        self.connection, self.wire = Connection(), Wire()
        self.connection.connection_made(self.wire)
        self._encoder = hpack.Encoder()
        self._encoder.header_table_size = 0

    def call(self, message: bytes = b"ask", *, deadline: float = NEVER) -> asyncio.Future[bytes]:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.connection.send(_Unary(answer, deadline), b"head", _framed(message))
        return answer

    def headers(self, stream: int, *, end: bool, **headers: str) -> bytes:
        block = self._encoder.encode({k.replace("_", "-"): v for k, v in headers.items()})
        return frame(http2.HEADERS, http2.END_HEADERS | (http2.END_STREAM if end else 0), stream, block)

    def answered(self, stream: int, message: bytes) -> bytes:
        body = frame(http2.DATA, 0, stream, _framed(message))
        return self.headers(stream, end=False, x="1") + body + self.headers(stream, end=True, grpc_status="0")

    async def sent(self) -> list[tuple[int, int, int, bytes]]:
        await asyncio.sleep(0)
        return self.wire.frames()


@pytest.fixture
async def peer() -> Peer:
    peer = Peer()
    await peer.sent()
    return peer


async def test_answers_come_in_any_order_and_any_pieces(peer: Peer) -> None:
    first, second = peer.call(), peer.call()
    for byte in peer.answered(3, b"two") + peer.answered(1, b"one"):
        peer.connection.data_received(bytes([byte]))
    assert [await first, await second] == [b"one", b"two"]


async def test_a_refusal_carries_the_servers_words(peer: Peer) -> None:
    answer = peer.call()
    refusal = peer.headers(1, end=True, grpc_status="11", grpc_message="in the future%21")
    peer.connection.data_received(refusal)
    with pytest.raises(RpcError) as refused:
        await answer
    assert (refused.value.code, refused.value.details) == (OUT_OF_RANGE, "in the future!")


async def test_a_large_request_waits_for_the_servers_window(peer: Peer) -> None:
    peer.call(b"x" * 100_000)
    sent = await peer.sent()
    assert sum(len(payload) for kind, _, _, payload in sent if kind == http2.DATA) == 65535
    opened = (1_000_000).to_bytes(4, "big")
    peer.connection.data_received(frame(http2.WINDOW_UPDATE, 0, 0, opened))
    assert await peer.sent() == []
    peer.connection.data_received(frame(http2.WINDOW_UPDATE, 0, 1, opened))
    sent = await peer.sent()
    assert sum(len(payload) for _, _, _, payload in sent) == 100_005 - 65535
    assert [flags for _, flags, _, _ in sent] == [0] * (len(sent) - 1) + [http2.END_STREAM]


async def test_requests_a_leaving_server_has_not_seen_are_told_apart(peer: Peer) -> None:
    seen, unseen = peer.call(), peer.call()
    peer.connection.data_received(frame(http2.GOAWAY, 0, 0, struct.pack(">II", 1, 0)))
    with pytest.raises(RpcError) as refused:
        await unseen
    assert refused.value.unsent
    assert not peer.connection.usable
    assert not peer.wire.closed
    peer.connection.data_received(peer.answered(1, b"last"))
    assert await seen == b"last"
    assert peer.wire.closed


async def test_a_lost_connection_fails_what_is_under_way(peer: Peer) -> None:
    answer, stream = peer.call(), Stream()
    peer.connection.send(stream, b"head", _framed(b""))
    peer.connection.connection_lost(ConnectionResetError("reset"))
    with pytest.raises(RpcError) as refused:
        await answer
    assert (refused.value.code, refused.value.unsent) == (UNAVAILABLE, False)
    with pytest.raises(RpcError):
        [batch async for batch in stream.batches()]


async def test_an_overdue_call_fails_and_is_reset(peer: Peer) -> None:
    answer = peer.call(deadline=asyncio.get_running_loop().time() - 1)
    await peer.sent()
    peer.connection._tick()
    with pytest.raises(RpcError) as refused:
        await answer
    assert refused.value.code == DEADLINE_EXCEEDED
    assert [kind for kind, _, _, _ in await peer.sent()] == [http2.RST_STREAM]


async def test_a_silent_server_is_pinged_and_then_given_up(peer: Peer) -> None:
    peer.connection.send(Stream(), b"head", _framed(b""))
    await peer.sent()
    for _ in range(http2.PING_AFTER):
        peer.connection._tick()
    assert [kind for kind, _, _, _ in await peer.sent()] == [http2.PING]
    for _ in range(http2.PATIENCE):
        peer.connection._tick()
    assert peer.wire.closed
    assert not peer.connection.usable


async def test_an_idle_connection_is_left_alone(peer: Peer) -> None:
    for _ in range(3 * http2.PING_AFTER):
        peer.connection._tick()
    assert await peer.sent() == []
    assert peer.connection.usable


async def test_a_server_that_owes_an_answer_and_says_nothing_is_given_up(peer: Peer) -> None:
    for _ in range(http2.PATIENCE):
        peer.connection._tick()
    answer = peer.call(deadline=asyncio.get_running_loop().time() - 1)
    peer.connection._tick()
    with pytest.raises(RpcError):
        await answer
    assert peer.wire.closed


async def test_a_call_on_a_connection_just_lost_has_not_been_sent(peer: Peer) -> None:
    peer.connection.connection_lost(None)
    with pytest.raises(RpcError) as refused:
        await peer.call()
    assert refused.value.unsent


async def test_calls_beyond_the_servers_limit_wait_their_turn(peer: Peer) -> None:
    peer.connection.data_received(frame(http2.SETTINGS, 0, 0, struct.pack(">HI", 3, 1)))
    first, second = peer.call(), peer.call()
    assert [stream for kind, _, stream, _ in await peer.sent() if kind == http2.HEADERS] == [1]
    peer.connection.data_received(peer.answered(1, b"one"))
    assert [stream for kind, _, stream, _ in await peer.sent() if kind == http2.HEADERS] == [3]
    peer.connection.data_received(peer.answered(3, b"two"))
    assert [await first, await second] == [b"one", b"two"]


async def test_headers_may_go_on_in_further_frames(peer: Peer) -> None:
    answer = peer.call()
    whole = peer.headers(1, end=True, grpc_status="13", grpc_message="broken")[9:]
    peer.connection.data_received(frame(http2.HEADERS, http2.END_STREAM, 1, whole[:4]))
    peer.connection.data_received(frame(http2.CONTINUATION, http2.END_HEADERS, 1, whole[4:]))
    with pytest.raises(RpcError) as refused:
        await answer
    assert (refused.value.code, refused.value.details) == (INTERNAL, "broken")


async def test_a_stream_yields_messages_as_they_become_whole(peer: Peer) -> None:
    stream = Stream()
    peer.connection.send(stream, b"head", _framed(b""))
    batches = stream.batches()
    body = _framed(b"one") + _framed(b"two") + _framed(b"three")
    peer.connection.data_received(frame(http2.DATA, 0, 1, body[:-2]))
    assert await anext(batches) == [b"one", b"two"]
    peer.connection.data_received(frame(http2.DATA, 0, 1, body[-2:]))
    peer.connection.data_received(peer.headers(1, end=True, grpc_status="0"))
    assert [batch async for batch in batches] == [[b"three"]]
