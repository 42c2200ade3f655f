"""One request as handlers see it: parsed path and query, user, body, and the warnings gathered for the answer."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from kdist.api.errors import BadRequest, RequestEntityTooLarge
from kdist.api.resources import Resource
from kdist.apiserver import requestinfo
from kdist.apiserver.authn.user import ANONYMOUS, User
from kdist.apiserver.protocol import RawConnection
from kdist.apiserver.requestinfo import Query, RequestInfo

if TYPE_CHECKING:
    from kdist.apiserver.audit.record import Record

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_LIMIT = 3 * 1024 * 1024  # bytes, as upstream: an object must fit into one storage transaction


class ClientGone(Exception):
    """The client closed the connection before the request was whole."""


class Request:
    """A request and what became known about it on the way. Handlers only read it and add warnings."""

    begun = 0.0  # monotonic seconds
    #: Headers that every answer carries: which flow schema and priority level the request went through.
    flow_headers: list[tuple[bytes, bytes]] | None = None
    #: Called once when a watch has sent its initial state.
    on_initialized: Callable[[], None] | None = None
    steps: list[tuple[str, float]] | None = None
    #: What the audit log is to tell; None when it tells nothing of this request.
    audit: Record | None = None

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.info: RequestInfo
        self.query: Query
        self.info, self.query = requestinfo.read(self.method, self.path, scope["query_string"])
        self._headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))  # the first of a name
        self.resource: Resource | None = None  # what the path names, when it is served here
        self.user: User = ANONYMOUS
        self.warnings: list[str] = []
        self.audit_annotations: dict[str, str] = {}  # what admission wants the audit log to tell
        self.audit_id: str = self.header(b"audit-id") or _audit_id()

    def header(self, name: bytes) -> str:
        """The first value of a header by its lower-case name, or the empty string."""
        value = self._headers.get(name)
        return value.decode("latin-1") if value else ""

    def param(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return requestinfo.first(self.query, name, default)

    def flag(self, name: str) -> bool:
        """Whether a boolean query parameter is set."""
        return requestinfo.truthy(self.query, name)

    def number(self, name: str) -> int | None:
        """An integer query parameter, None when absent. BadRequest when it is no number."""
        text = self.param(name)
        if not text:
            return None
        if not re.fullmatch(r"[-+]?[0-9]+", text):
            raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        if not -(1 << 63) <= int(text[:30]) < 1 << 63:
            raise BadRequest(f'strconv.ParseInt: parsing "{text}": value out of range')
        return int(text)

    @property
    def pretty(self) -> bool:
        """Whether to indent: asked for, or a human is looking (curl, a browser)."""
        if "pretty" in self.query:
            return self.flag("pretty")
        return self.header(b"user-agent").startswith(("curl", "Wget", "Mozilla/5.0"))

    def initialized(self) -> None:
        """A watch has sent what was there: from now on it only waits."""
        if self.on_initialized is not None:
            self.on_initialized()
            self.on_initialized = None

    def step(self, done: str) -> None:
        """Remember when something was done: slow requests are logged with their steps."""
        if self.steps is None:
            self.steps = []
        self.steps.append((done, time.monotonic()))

    def warn(self, text: str) -> None:
        """Add a Warning header to the answer, once per text."""
        if text not in self.warnings:
            self.warnings.append(text)

    def annotate(self, key: str, value: str) -> None:
        """Add an annotation to what the audit log tells of the request; the first of a key stays."""
        self.audit_annotations.setdefault(key, value)

    async def body(self, limit: int = BODY_LIMIT) -> bytes:
        """The whole body. RequestEntityTooLarge beyond ``limit`` bytes, ClientGone when it breaks off."""
        promised = self._headers.get(b"content-length")
        if promised is not None and len(promised) > 6 and promised.isdigit() and int(promised) > limit:
            raise RequestEntityTooLarge(f"Request entity too large: limit is {limit}")  # unread
        body = await self._whole(limit)
        if self.audit is not None:
            self.audit.take_body(body)
        return body

    async def _whole(self, limit: int) -> bytes:
        message = await self.receive()
        if message["type"] != "http.request":
            raise ClientGone
        if not message.get("more_body"):
            return self._limited(message["body"], limit)
        chunks = [message["body"]]
        size = len(chunks[0])
        while message.get("more_body"):
            message = await self.receive()
            if message["type"] != "http.request":
                raise ClientGone
            chunks.append(message["body"])
            size += len(message["body"])
            if size > limit:
                break
        return self._limited(b"".join(chunks), limit)

    @staticmethod
    def _limited(body: bytes, limit: int) -> bytes:
        if len(body) > limit:
            raise RequestEntityTooLarge(f"Request entity too large: limit is {limit}")
        return body

    @property
    def wants_upgrade(self) -> bool:
        """Whether the client asks to leave HTTP (SPDY or WebSocket)."""
        return "upgrade" in self.scope.get("extensions", {})

    def take_connection(self) -> RawConnection:
        """Leave HTTP: the raw connection, on which nothing has been answered yet."""
        connection: RawConnection = self.scope["extensions"]["upgrade"]()
        return connection


def _audit_id() -> str:
    """A random UUID. It only has to be unique: the system's entropy would be a call per request."""
    text = f"{random.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{random.choice('89ab')}{text[17:20]}-{text[20:]}"
