"""A load generator that costs little beside the server it measures: keep-alive connections without an HTTP library.

A request is bytes; of an answer only the status, the length and, for watches, the time stamps in it are read.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STAMP = re.compile(rb'"stamp":"(\d+)"')
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass
class Measured:
    """What happened in the measured window."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    events: int = 0
    event_latencies: list[float] = field(default_factory=list)

    def percentile(self, share: float, *, events: bool = False) -> float:
        """Milliseconds."""
        values = sorted(self.event_latencies if events else self.latencies)
        return values[min(len(values) - 1, int(len(values) * share))] * 1000 if values else 0.0


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """A request as it goes over the wire."""
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench/1\r\nAccept: application/json\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class Connection(asyncio.Protocol):
    """One keep-alive connection that asks again and again."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[tuple[int, bytes]] | None = None
        self._parts: list[bytes] = []
        self._status = 0
        self._left = -1  # bytes of the body; -1: chunked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionError("closed by the server"))

    def ask(self, data: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """The status and the raw answer."""
        assert self._transport is not None
        self._waiter = asyncio.get_running_loop().create_future()
        self._parts, self._status = [], 0
        self._transport.write(data)
        return self._waiter

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        if not self._status:
            head, found, body = data.partition(b"\r\n\r\n")
            if not found:
                data = b"".join(self._parts)
                self._parts = [data]
                head, found, body = data.partition(b"\r\n\r\n")
                if not found:
                    return
            self._status = int(head[9:12])
            length = _LENGTH.search(head)
            self._left = int(length[1]) if length else -1
            data = body
        if self._left >= 0:
            self._left -= len(data)
            done = self._left <= 0
        else:
            done = data.endswith(_LAST_CHUNK)
        if done and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result((self._status, b"".join(self._parts)))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Watch(Connection):
    """A connection on which one watch goes on; stamps of changes become latencies."""

    def __init__(self, measured: Measured) -> None:
        super().__init__()
        self._measured, self._rest = measured, b""
        self.counting = False

    def open(self, path: str) -> None:
        assert self._transport is not None
        self._transport.write(request("GET", path))

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not self.counting:
            return
        now = time.time_ns()
        for line in lines:
            stamp = _STAMP.search(line)
            if stamp is not None:
                self._measured.events += 1
                self._measured.event_latencies.append((now - int(stamp[1])) / 1e9)


class Client:
    """Connections to one server."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._port, self._context = port, context

    async def connect(self, factory: Callable[[], Connection] = Connection) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(factory, "127.0.0.1", self._port, ssl=self._context)
        return connection

    async def once(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """One request on a connection of its own."""
        connection = await self.connect()
        answer = await connection.ask(request(method, path, body))
        connection.close()
        return answer

    async def load(
        self,
        make: Callable[[int, int], bytes],
        *,
        connections: int,
        seconds: float,
        warm: float = 0.5,
        rate: float = 0.0,
        begun: Callable[[], None] = lambda: None,
    ) -> Measured:
        """Ask on many connections at once; ``make(connection, number)`` makes the requests.

        ``rate`` requests a second in all; 0: as fast as answers come. ``begun`` is called when the warm-up is over.
        """
        measured = Measured()
        opened = [await self.connect() for _ in range(connections)]
        start = time.perf_counter() + warm
        end = start + seconds

        async def work(index: int, connection: Connection) -> None:
            number = 0
            while (sent := time.perf_counter()) < end:
                if rate:
                    due = start - warm + (number * connections + index) / rate
                    if due > sent:
                        await asyncio.sleep(due - sent)
                        sent = time.perf_counter()
                status, _ = await connection.ask(make(index, number))
                number += 1
                now = time.perf_counter()
                if sent >= start and now <= end:
                    measured.latencies.append(now - sent)
                    measured.errors += status >= 300

        async def tell() -> None:
            await asyncio.sleep(warm)
            begun()

        await asyncio.gather(tell(), *(work(i, c) for i, c in enumerate(opened)))
        measured.seconds = seconds
        for connection in opened:
            connection.close()
        return measured
