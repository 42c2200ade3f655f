"""WebSocket clients whose subprotocol the runtime does not know, translated to SPDY/3.1, which it does.

- ``v5.channel.k8s.io`` (exec, attach): the first byte of a message is the channel; channel 255 closes the
  channel that its second byte names, which is how standard input ends.
- ``SPDY/3.1+portforward.k8s.io``: SPDY itself, carried in binary messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import WSMsgType, web

from kdist.agent.server import spdy, tunnel
from kdist.agent.server.tunnel import StreamRefused, Upstream

V5 = "v5.channel.k8s.io"
PORT_FORWARD = "SPDY/3.1+portforward.k8s.io"
_SPDY_EXEC = "v4.channel.k8s.io"
_SPDY_PORT_FORWARD = "portforward.k8s.io"

# Channel number -> the SPDY stream's type, in the order in which the streams are opened.
_CHANNELS = {3: "error", 0: "stdin", 1: "stdout", 2: "stderr", 4: "resize"}
_CLOSE = 255
_PIECE = 32 * 1024
_STREAM_SECONDS = 30.0
_HEARTBEAT = 30.0


def offered(request: web.Request) -> list[str]:
    """The subprotocols that a WebSocket client offers; empty for every other request."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        return []
    lines = request.headers.getall("Sec-WebSocket-Protocol", [])
    return [protocol.strip() for line in lines for protocol in line.split(",") if protocol.strip()]


async def _spdy(url: str, protocol: str) -> Upstream:
    headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "SPDY/3.1"),
        ("X-Stream-Protocol-Version", protocol),
    ]
    upstream = await tunnel.connect(url, "POST", headers)
    if upstream.status != 101:
        body = await upstream.reader.read(1024)
        await upstream.close()
        raise StreamRefused(
            f"the container runtime answered {upstream.status}: {body.decode(errors='replace')}"
        )
    return upstream


async def port_forward(request: web.Request, url: str) -> web.StreamResponse:
    """Carry a client's SPDY connection out of its messages. Raises StreamRefused."""
    upstream = await _spdy(url, _SPDY_PORT_FORWARD)
    socket = web.WebSocketResponse(protocols=(PORT_FORWARD,), heartbeat=_HEARTBEAT)
    await socket.prepare(request)

    async def to_client() -> None:
        while data := await upstream.reader.read(_PIECE):
            await socket.send_bytes(data)

    async def to_runtime() -> None:
        async for message in socket:
            if message.type == WSMsgType.BINARY:
                upstream.writer.write(message.data)
                await upstream.writer.drain()

    try:
        await tunnel.until_first(to_client(), to_runtime())
    finally:
        await upstream.close()
        await socket.close()
    return socket


async def execute(request: web.Request, url: str, channels: Mapping[str, bool]) -> web.StreamResponse:
    """Serve ``v5.channel.k8s.io`` on top of the runtime's SPDY. Raises StreamRefused.

    ``channels`` says which of stdin, stdout, stderr and resize there are; error is always there.
    """
    upstream = await _spdy(url, _SPDY_EXEC)
    translation = _Translation(upstream)
    try:
        async with asyncio.timeout(_STREAM_SECONDS):
            await translation.open_streams(channels)
    except (TimeoutError, spdy.ProtocolError, OSError) as error:
        await upstream.close()
        raise StreamRefused(f"the container runtime opened no streams: {error!r}") from error
    socket = web.WebSocketResponse(protocols=(V5,), heartbeat=_HEARTBEAT)
    await socket.prepare(request)
    try:
        await tunnel.until_first(translation.to_client(socket), translation.to_runtime(socket))
    finally:
        await upstream.close()
        await socket.close()
    return socket


class _Translation:
    """Channels on one side, SPDY streams on the other."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._session = spdy.Session()
        self._streams: dict[int, int] = {}  # channel -> stream
        self._early: list[spdy.Event] = []  # what came before the client was answered

    async def open_streams(self, channels: Mapping[str, bool]) -> None:
        """Open a stream per channel and wait until the runtime has accepted them all."""
        for channel, kind in _CHANNELS.items():
            if kind == "error" or channels.get(kind):
                stream, frame = self._session.open_stream({"streamtype": kind})
                self._streams[channel] = stream
                self._upstream.writer.write(frame)
        await self._upstream.writer.drain()
        waiting = set(self._streams.values())
        while waiting:
            for event in await self._receive():
                if isinstance(event, spdy.Opened):
                    waiting.discard(event.stream)
                elif isinstance(event, spdy.Reset | spdy.GoAway):
                    raise spdy.ProtocolError("a stream was refused")
                else:
                    self._early.append(event)

    async def _receive(self) -> list[spdy.Event]:
        data = await self._upstream.reader.read(_PIECE)
        if not data:
            raise ConnectionResetError("the connection ended")
        return list(self._session.receive(data))

    async def to_client(self, socket: web.WebSocketResponse) -> None:
        """Copy output until the runtime has closed every stream that it sends on."""
        channels = {stream: channel for channel, stream in self._streams.items()}
        sending = {s for c, s in self._streams.items() if _CHANNELS[c] in ("error", "stdout", "stderr")}
        events, self._early = self._early, []
        while True:
            for event in events:
                if isinstance(event, spdy.Data) and event.stream in sending:
                    if event.data:
                        await socket.send_bytes(bytes([channels[event.stream]]) + event.data)
                    if event.last:
                        sending.discard(event.stream)
                elif isinstance(event, spdy.Reset):
                    sending.discard(event.stream)
                elif isinstance(event, spdy.Ping):
                    self._upstream.writer.write(self._session.send_ping(event.number))
                elif isinstance(event, spdy.GoAway):
                    return
            if not sending:
                return
            events = await self._receive()

    async def to_runtime(self, socket: web.WebSocketResponse) -> None:
        """Copy input until the client leaves."""
        async for message in socket:
            if message.type != WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            last = channel == _CLOSE
            if last:
                channel, data = (data[0] if data else _CLOSE), b""
            stream = self._streams.get(channel)
            if stream is None or _CHANNELS[channel] not in ("stdin", "resize") or not (data or last):
                continue
            self._upstream.writer.write(self._session.send_data(stream, data, last=last))
            await self._upstream.writer.drain()
