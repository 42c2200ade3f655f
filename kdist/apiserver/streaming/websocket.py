"""The sending half of a WebSocket, for logs that a browser or a script follows."""

from __future__ import annotations

import base64
import hashlib
import struct

from kdist.apiserver.protocol import RawConnection
from kdist.apiserver.request import Request

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BINARY, _TEXT, _CLOSE = 0x2, 0x1, 0x8
# Subprotocols, and whether each carries base64 text.
_PROTOCOLS = {"binary.k8s.io": False, "base64.binary.k8s.io": True}


class WebSocketSender:
    """Frames written to a client; what it sends is read only to notice that it goes."""

    def __init__(self, connection: RawConnection, *, encoded: bool) -> None:
        self._connection = connection
        self._encoded = encoded

    @classmethod
    async def accept(cls, request: Request) -> WebSocketSender:
        """Answer the handshake."""
        key = request.header(b"sec-websocket-key").encode()
        offered = [p.strip() for p in request.header(b"sec-websocket-protocol").split(",")]
        chosen = next((p for p in offered if p in _PROTOCOLS), "")
        digest = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        connection = request.take_connection()
        lines = [
            b"HTTP/1.1 101 Switching Protocols",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Accept: " + digest,
        ]
        if chosen:
            lines.append(b"Sec-WebSocket-Protocol: " + chosen.encode())
        await connection.write(b"\r\n".join(lines) + b"\r\n\r\n")
        return cls(connection, encoded=_PROTOCOLS.get(chosen, False))

    async def send(self, data: bytes) -> None:
        """One message."""
        if self._encoded:
            await self._connection.write(frame(_TEXT, base64.b64encode(data)))
        else:
            await self._connection.write(frame(_BINARY, data))

    async def gone(self) -> None:
        """Wait until the client closes."""
        while data := await self._connection.read():
            if data[0] & 0x0F == _CLOSE:
                return

    async def close(self) -> None:
        """Say goodbye and close."""
        await self._connection.write(frame(_CLOSE, struct.pack(">H", 1000)))
        self._connection.close()


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole, unmasked frame."""
    size = len(payload)
    if size < 126:
        header = struct.pack(">BB", 0x80 | opcode, size)
    elif size < 1 << 16:
        header = struct.pack(">BBH", 0x80 | opcode, 126, size)
    else:
        header = struct.pack(">BBQ", 0x80 | opcode, 127, size)
    return header + payload
