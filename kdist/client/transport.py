"""HTTP to one of several API servers: connection reuse, credentials, failover, errors.

One :class:`Transport` is one connection pool. It stays with a server until that server fails, then goes on to
the next. Everything that kept a request from being answered is :class:`Unreachable`; every answer that is a
refusal is the matching :class:`kdist.api.errors.ApiError`. With an access that follows its files, connections
made from now on use what is in them now; those that are open serve their requests to the end. Without any access
yet, requests wait until :meth:`Transport.use` gives one.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from kdist.api import errors
from kdist.client.kubeconfig import Access
from kdist.pki.following import Followed

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 60.0
KEEPALIVE_SECONDS = 90.0
TOKEN_READ_SECONDS = 10.0
THROTTLED_TRIES = 5
# A server that vanished without a word (power loss, cut network) is noticed after about 20 seconds.
_TCP = {
    socket.TCP_KEEPIDLE: 10,
    socket.TCP_KEEPINTVL: 5,
    socket.TCP_KEEPCNT: 2,
    socket.TCP_USER_TIMEOUT: 20_000,
}


class Unreachable(Exception):
    """No API server answered: refused, reset, timed out or TLS failed. The last cause is chained.

    Whether a write took effect is unknown when the connection broke after the request was sent.
    """


class Transport:
    """A pool of connections to the API servers of one :class:`Access`; use it as an async context."""

    def __init__(self, access: Access | Followed[Access] | None) -> None:
        self._followed: Followed[Access] | None = None
        self._access: Access | None = None
        self._current = 0
        self._session: aiohttp.ClientSession | None = None
        self._token: str | None = None
        self._token_read = float("-inf")
        self._usable = asyncio.Event()
        if access is not None:
            self.use(access)

    def use(self, access: Access | Followed[Access]) -> None:
        """Go by this access from the next request on."""
        self._followed = access if isinstance(access, Followed) else None
        self._take(access.current() if isinstance(access, Followed) else access)
        self._usable.set()

    def _take(self, access: Access) -> None:
        if self._access is None or access.servers != self._access.servers:
            self._current = 0
        self._access, self._token = access, access.token
        self._token_read = float("-inf")

    async def open(self) -> None:
        """Make the pool; connections are made as they are needed."""
        connector = aiohttp.TCPConnector(
            limit=0,  # every watch holds a connection: a limit would be a deadlock
            keepalive_timeout=KEEPALIVE_SECONDS,
            socket_factory=_socket,
        )
        self._session = aiohttp.ClientSession(connector=connector, headers={"Accept-Encoding": "identity"})

    async def close(self) -> None:
        """End every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> bytes:
        """The body of the answer. Raises ApiError and Unreachable; waits when the server asks to."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS)
        for attempt in range(1, THROTTLED_TRIES + 1):
            try:
                async with self._answer(method, path, params, headers, body, timeout) as response:
                    return await response.read()
            except errors.TooManyRequests as error:
                wait = error.headers.get("Retry-After", "")
                if attempt == THROTTLED_TRIES or not wait.isdigit():
                    raise
                await asyncio.sleep(int(wait))
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise Unreachable(f"{method} {path}: {_told(error)}") from error
        raise AssertionError("unreachable: the last try returns or raises")

    async def lines(
        self, path: str, *, params: Mapping[str, str], headers: Mapping[str, str], silence: float
    ) -> AsyncGenerator[bytes, None]:
        """The lines of an endless answer. Ends with the answer; ``silence`` is the longest pause allowed."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=silence)
        try:
            async with self._answer("GET", path, params, headers, None, timeout) as response:
                rest = b""
                async for chunk in response.content.iter_any():
                    *complete, rest = (rest + chunk).split(b"\n")
                    for line in complete:
                        if line:
                            yield line
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"GET {path}: {_told(error)}") from error

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        response = await self._first_answer(method, path, params, headers, body, timeout)
        async with response:
            if response.status >= 400:
                raise _error(response, await response.read())
            yield response

    async def _first_answer(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("the client is not open: use it with 'async with'")
        access = await self._access_now()
        servers = access.servers
        sent = {**headers, **self._credentials(access)}
        for remaining in reversed(range(len(servers))):
            at = self._current % len(servers)  # another request may have found fewer of them meanwhile
            try:
                return await self._session.request(
                    method,
                    servers[at] + path,
                    params=params,
                    headers=sent,
                    data=body,
                    timeout=timeout,
                    allow_redirects=False,
                    ssl=access.tls or False,
                )
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                # Requests that run side by side move on once, not once each.
                if self._current % len(servers) == at:
                    self._current = (at + 1) % len(servers)
                # A write that may have been sent must not be sent twice.
                never_sent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
                if not remaining or not (never_sent or method == "GET"):
                    raise
        raise AssertionError("unreachable: the last server returns or raises")

    async def _access_now(self) -> Access:
        """What the files say; a context that differs makes aiohttp open connections of its own for it."""
        if self._access is None:
            await self._usable.wait()
        if self._followed is not None and (now := self._followed.current()) is not self._access:
            self._take(now)
        assert self._access is not None  # set before the event is
        return self._access

    def _credentials(self, access: Access) -> dict[str, str]:
        path = access.token_file
        if path is not None and time.monotonic() - self._token_read > TOKEN_READ_SECONDS:
            self._token, self._token_read = _read_token(path), time.monotonic()
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}


def _read_token(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise Unreachable(f"the token cannot be read: {error}") from error


def _socket(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _TCP.items():
        made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _error(response: aiohttp.ClientResponse, body: bytes) -> errors.ApiError:
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        # A proxy in between, or a health endpoint: the text is all there is.
        status = {"message": body.decode(errors="replace").strip()[:1000]}
    error = errors.from_status(status, response.status)
    if wait := response.headers.get("Retry-After"):
        error.headers["Retry-After"] = wait
    return error
