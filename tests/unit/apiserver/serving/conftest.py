"""A whole API server on the in-process store, called as an ASGI application by a user who may do everything."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from kdist.apiserver.authn import LOOPBACK
from kdist.apiserver.lifecycle import ApiServer
from kdist.config.apiserver import ApiServerSettings
from kdist.storage.interface import Storage

Obj = dict[str, Any]


class _Everybody:
    """Authenticates every request as the server itself."""

    async def authenticate(self, scope: Obj, headers: Any = None) -> Any:
        return LOOPBACK


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Stream:
    """A request whose answer is read piece by piece; leaving the block disconnects."""

    def __init__(self, app: Any, scope: Obj) -> None:
        self._gone = asyncio.Event()
        self._messages: asyncio.Queue[Obj] = asyncio.Queue()
        self.willing: Iterator[bool] = itertools.repeat(True)  # whether pieces are taken at once
        self.pushed = 0
        scope["extensions"]["push"] = self._push
        self._task = asyncio.create_task(app(scope, self._receive, self._messages.put))
        self._lines: list[bytes] = []
        self.ended = False

    async def _receive(self) -> Obj:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    def _push(self, piece: bytes) -> bool:
        if not next(self.willing):
            return False
        self.pushed += 1
        self._messages.put_nowait({"type": "http.response.body", "body": piece, "more_body": True})
        return True

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gone.set()
        await self._task

    async def next(self) -> Obj:
        """The next message of the answer."""
        async with asyncio.timeout(5):
            message = await self._messages.get()
        self.ended = message["type"] == "http.response.body" and not message.get("more_body")
        return message

    async def event(self) -> Any:
        """The next watch event; None at the end of the stream."""
        while not self._lines:
            if self.ended:
                return None
            self._lines += (await self.next()).get("body", b"").splitlines()
        return orjson.loads(self._lines.pop(0))


class Api:
    """Calls a server."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server

    def _scope(self, method: str, path: str, headers: dict[str, str]) -> Obj:
        path, _, query = path.partition("?")
        return {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
            "state": {},
            "extensions": {},
        }

    async def __call__(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        sent: list[Obj] = []

        async def receive() -> Obj:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Obj) -> None:
            sent.append(message)

        await self.server.app(self._scope(method, path, headers or {}), receive, send)
        start = sent[0]
        head = {k.decode().lower(): v.decode() for k, v in start["headers"]}
        return Answer(start["status"], head, b"".join(m.get("body", b"") for m in sent[1:]))

    def stream(self, path: str, headers: dict[str, str] | None = None) -> Stream:
        """A GET that goes on."""
        return Stream(self.server.app, self._scope("GET", path, headers or {}))

    async def make(self, path: str, obj: Obj) -> Obj:
        """Create what must be creatable."""
        answer = await self("POST", path, obj)
        assert answer.status == 201, answer.body
        made: Obj = answer.json
        return made


@contextlib.asynccontextmanager
async def served(storage: Storage | None = None, **settings: Any) -> AsyncIterator[Api]:
    """A server on ``storage``, or on its own, for the length of the block."""
    shared = {
        "storage": "memory",
        "bind_address": "127.0.0.1",
        "secure_port": 0,
        "advertise_address": "192.0.2.10",
        "shutdown_grace": 0.1,
    }
    server = ApiServer(ApiServerSettings(**{**shared, **settings}), storage=storage)
    server.core.authenticator = _Everybody()  # type: ignore[assignment]
    await server.start()
    yield Api(server)
    await server.stop()


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with served() as api:
        await api.make("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        yield api
