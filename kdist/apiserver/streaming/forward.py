"""Plain HTTP to agents and workloads: request and answer bodies streamed through."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kdist.api.errors import ServiceUnavailable
from kdist.apiserver.request import ClientGone, Request, Send
from kdist.apiserver.streaming.location import Location
from kdist.apiserver.streaming.racing import first_of

if TYPE_CHECKING:
    import aiohttp

CONNECT_SECONDS = 10.0
PIECE = 64 * 1024
REWRITE_LIMIT = 8 << 20  # bytes of a page whose links are rewritten
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_SENT = _HOP_BY_HOP | {"authorization", "host", "content-length"}
# attributes of HTML that hold a link
_LINK = re.compile(
    rb"""(\s(?:href|src|action|cite|data|formaction|poster|longdesc|background|icon|manifest|usemap)\s*=\s*["'])/(?!/)""",
    re.IGNORECASE,
)


class Forwarder:
    """One client session for all forwarded requests; made when first needed."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    def _client(self) -> aiohttp.ClientSession:
        import aiohttp  # a server that forwards nothing does not pay for it

        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
                read_bufsize=PIECE,
                skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
            )
        return self._session

    async def close(self) -> None:
        """Let go of idle connections."""
        if self._session is not None:
            await self._session.close()

    async def get(
        self, location: Location, target: str, headers: Mapping[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        """A GET whose body the caller streams and closes. ServiceUnavailable."""
        return await self._request("GET", location, target, headers or {}, None)

    async def _request(
        self,
        method: str,
        location: Location,
        target: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | None,
    ) -> aiohttp.ClientResponse:
        import aiohttp
        from yarl import URL

        try:
            return await self._client().request(
                method,
                URL(location.origin + target, encoded=True),
                headers=headers,
                data=body,
                ssl=location.context if location.context is not None else True,
                server_hostname=location.server_name or None,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServiceUnavailable(f"error trying to reach service: {error or 'timed out'}") from error

    async def forward(
        self, request: Request, send: Send, location: Location, target: str, *, prefix: str
    ) -> None:
        """Proxy a request; links and redirects of the answer are led back under ``prefix``."""
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in request.scope["headers"]
            if name.decode("latin-1") not in _NOT_SENT
        }
        headers["X-Forwarded-Uri"] = request.path
        body = _body_with_length(request, headers)
        answer = await self._request(request.method, location, target, headers, body)
        try:
            await _pass_on(send, answer, prefix, location)
        finally:
            answer.close()

    async def relay(
        self,
        request: Request,
        send: Send,
        location: Location,
        target: str,
        *,
        drop: tuple[str, ...],
        extra: Iterable[tuple[str, str]],
        stopping: asyncio.Event,
    ) -> None:
        """Pass a request on and its answer back, both as they are.

        Headers that begin with one of ``drop`` stay behind, ``extra`` ones go along. Ends with the answer, with the
        client's going, or with the server's stop.
        """
        from multidict import CIMultiDict

        headers: CIMultiDict[str] = CIMultiDict()
        for raw_name, raw_value in request.scope["headers"]:
            name = raw_name.decode("latin-1")
            if name not in _NOT_SENT and not name.startswith(drop):
                headers.add(name, raw_value.decode("latin-1"))
        headers.extend(extra)
        sent = asyncio.Event()
        body = _body_with_length(request, headers, sent)
        answer = await self._request(request.method, location, target, headers, body)
        try:
            await first_of(_copy_answer(send, answer), _gone(request, sent), stopping.wait())
        finally:
            answer.close()


async def _copy_answer(send: Send, answer: aiohttp.ClientResponse) -> None:
    import aiohttp

    headers = [(n.lower().encode(), v.encode("latin-1")) for n, v in _end_to_end(answer)]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    try:
        async for piece in answer.content.iter_any():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except aiohttp.ClientError as error:  # too late for a status: the client sees the answer break off
        raise ServiceUnavailable(f"the answer broke off: {error}") from error
    await send({"type": "http.response.body", "body": b""})


def _end_to_end(answer: aiohttp.ClientResponse) -> list[tuple[str, str]]:
    return [(n, v) for n, v in answer.headers.items() if n.lower() not in _HOP_BY_HOP]


async def _gone(request: Request, sent: asyncio.Event) -> None:
    await sent.wait()  # until then what arrives belongs to the body
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _body_with_length(
    request: Request, headers: MutableMapping[str, str], sent: asyncio.Event | None = None
) -> AsyncIterator[bytes] | None:
    """The request's body, if it has one; its length becomes a header. ``sent`` is set at its end."""
    sent = sent or asyncio.Event()
    has_body = request.method not in ("GET", "HEAD", "OPTIONS") or request.header(b"content-length") != ""
    if length := request.header(b"content-length"):
        headers["Content-Length"] = length
    if has_body and length != "0":
        return _body(request, sent)
    sent.set()
    return None


async def _body(request: Request, sent: asyncio.Event) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await request.receive()
        if message["type"] != "http.request":
            raise ClientGone
        if message["body"]:
            yield message["body"]
        more = message.get("more_body", False)
    sent.set()


async def _pass_on(send: Send, answer: aiohttp.ClientResponse, prefix: str, location: Location) -> None:
    headers = [
        (name.lower(), value) for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP
    ]
    is_page = answer.headers.get("content-type", "").startswith("text/html")
    if is_page and not answer.headers.get("content-encoding"):
        page = rewrite_links(await answer.content.read(REWRITE_LIMIT), prefix)
        headers = [(n, v) for n, v in headers if n != "content-length"] + [("content-length", str(len(page)))]
        await _start(send, answer.status, headers, prefix, location)
        await send({"type": "http.response.body", "body": page})
        return
    await _start(send, answer.status, headers, prefix, location)
    async for piece in answer.content.iter_any():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _start(
    send: Send, status: int, headers: list[tuple[str, str]], prefix: str, location: Location
) -> None:
    encoded = [
        (
            name.encode(),
            (redirect(value, prefix, location) if name == "location" else value).encode("latin-1"),
        )
        for name, value in headers
    ]
    await send({"type": "http.response.start", "status": status, "headers": encoded})


def redirect(target: str, prefix: str, location: Location) -> str:
    """A Location header led back through the proxy when it stays on the same host."""
    parts = urlsplit(target)
    if parts.netloc and parts.netloc != location.authority:
        return target
    if not parts.path.startswith("/"):
        return target
    query = f"?{parts.query}" if parts.query else ""
    return prefix.rstrip("/") + parts.path + query


def rewrite_links(page: bytes, prefix: str) -> bytes:
    """Absolute links of an HTML page led back through the proxy."""
    return _LINK.sub(rb"\g<1>" + prefix.rstrip("/").encode() + b"/", page)
