"""How a request reaches a server: over HTTPS to the one of a kubeconfig. Tests bring their own, in process."""

from __future__ import annotations

import base64
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import aiohttp
import orjson
import yaml

JSON = "application/json"
#: The status of an answer that never came: upstream ends the connection when a handler panics.
CRASHED = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    method: str
    path: str
    body: Any = None  # an object, or the bytes as they are sent
    query: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON
    accept: str = JSON
    user: str = ""  # whom to impersonate

    @property
    def headers(self) -> dict[str, str]:
        """The headers that every server gets."""
        told = {"Content-Type": self.content_type, "Accept": self.accept, "User-Agent": "corpus"}
        return {**told, "Impersonate-User": self.user} if self.user else told

    @property
    def target(self) -> str:
        """Path and query as they stand in the request line."""
        return self.path + ("?" + urlencode(self.query, quote_via=quote) if self.query else "")

    @property
    def payload(self) -> bytes:
        """The body's bytes."""
        if self.body is None:
            return b""
        return self.body.encode() if isinstance(self.body, str) else orjson.dumps(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: Any  # decoded JSON, or text
    warnings: tuple[str, ...] = ()
    retry_after: str = ""


def decoded(body: bytes) -> Any:
    """JSON as objects, anything else as text."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")


class Transport(Protocol):
    """Where calls go."""

    async def send(self, call: Call) -> Answer:
        """The server's answer."""


class Https:
    """A server by its kubeconfig, with the first user's client certificate."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        self._server = config["clusters"][0]["cluster"]["server"]
        self._context = _context(config)

    async def __aenter__(self) -> Https:
        connector = aiohttp.TCPConnector(limit=16, ssl=self._context)
        self._session = aiohttp.ClientSession(connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, call: Call) -> Answer:
        """The server's answer."""
        try:
            return await self._answer(call, call.headers)
        except aiohttp.ServerDisconnectedError:
            return Answer(CRASHED, "")

    async def _answer(self, call: Call, headers: Mapping[str, str]) -> Answer:
        url = self._server + call.target
        async with self._session.request(call.method, url, data=call.payload, headers=headers) as answer:
            return Answer(
                answer.status,
                decoded(await answer.read()),
                tuple(answer.headers.getall("Warning", ())),
                answer.headers.get("Retry-After", ""),
            )


def _context(config: dict[str, Any]) -> ssl.SSLContext:
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(
        cafile=cluster.get("certificate-authority"), cadata=_inline(cluster, "certificate-authority")
    )
    if "client-certificate" in user:
        context.load_cert_chain(user["client-certificate"], user["client-key"])
        return context
    with tempfile.NamedTemporaryFile("w") as pair:
        pair.write(str(_inline(user, "client-certificate")) + str(_inline(user, "client-key")))
        pair.flush()
        context.load_cert_chain(pair.name)
    return context


def _inline(part: dict[str, Any], field_name: str) -> str | None:
    data = part.get(f"{field_name}-data")
    return base64.b64decode(data).decode() if data else None
