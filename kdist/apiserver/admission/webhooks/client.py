"""Calls webhooks: where they are, over TLS as their configuration says, with connections that are kept."""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import orjson

from kdist.api.kinds import ENDPOINTS, SERVICES
from kdist.apiserver.admission.webhooks.configuration import ServiceReference
from kdist.apiserver.ports import Obj, Reader
from kdist.apiserver.streaming.location import Location
from kdist.telemetry import tracing

if TYPE_CHECKING:
    import aiohttp

ANSWER_LIMIT = 8 << 20  # bytes


class CallError(Exception):
    """The webhook did not answer as it should."""


class Target(Protocol):
    """Where a webhook is and how to trust it: by URL or by Service; ``ca_bundle`` is PEM or empty."""

    @property
    def url(self) -> str:
        """Empty when there is a Service."""

    @property
    def service(self) -> ServiceReference | None:
        """None when there is a URL."""

    @property
    def path(self) -> str:
        """Below the Service."""

    @property
    def ca_bundle(self) -> bytes:
        """Whom its certificate is to be signed by."""

    @property
    def timeout(self) -> int:
        """Seconds until an answer has to be there."""


def endpoint_of(reader: Reader, reference: ServiceReference) -> tuple[str, int]:
    """An address and port of a Service's ready endpoints. CallError when there is none.

    Endpoints rather than the cluster address: they do not depend on this host's service proxy.
    """
    namespace, name = reference.namespace, reference.name
    service = reader.get(SERVICES, namespace, name)
    if service is None:
        raise CallError(f'service "{name}" not found')
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return spec["externalName"], reference.port
    ports = [port for port in spec.get("ports") or () if port["port"] == reference.port]
    if not ports:
        raise CallError(f'no service port {reference.port} found for service "{name}"')
    port_name = ports[0].get("name") or ""
    endpoints = reader.get(ENDPOINTS, namespace, name) or {}
    candidates = [
        (address["ip"], port["port"])
        for subset in endpoints.get("subsets") or ()
        for port in subset.get("ports") or ()
        if (port.get("name") or "") == port_name
        for address in subset.get("addresses") or ()
    ]
    if not candidates:
        raise CallError(f'no endpoints available for service "{name}"')
    return random.choice(candidates)


def named_url(hook: Target) -> str:
    """The hook's address as messages tell it."""
    if hook.service is None:
        return hook.url
    return f"https://{hook.service.server_name}:{hook.service.port}{_slashed(hook.path)}"


def _slashed(path: str) -> str:
    """A path with its slash."""
    return path if path.startswith("/") else f"/{path}"


class WebhookClient:
    """One client session for all webhooks, made when the first one is called."""

    def __init__(self, reader: Reader) -> None:
        # read by name: their caches have to be there before the first request
        self._reader = reader
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[tuple[bytes, str], ssl.SSLContext] = {}

    async def close(self) -> None:
        """Let go of idle connections."""
        if self._session is not None:
            await self._session.close()

    async def call(self, hook: Target, review: Obj) -> bytes:
        """The answer of an admission webhook. CallError."""
        try:
            return await self.ask(hook, review)
        except CallError as error:
            raise CallError(f"failed to call webhook: {error}") from error

    async def ask(self, hook: Target, review: Obj) -> bytes:
        """The answer's body. CallError."""
        shown = f'Post "{named_url(hook)}?timeout={hook.timeout}s"'
        try:
            async with asyncio.timeout(hook.timeout):
                return await self._post(hook, orjson.dumps(review))
        except TimeoutError as error:
            raise CallError(f"{shown}: context deadline exceeded") from error
        except CallError as error:
            raise CallError(f"{shown}: {error}") from error

    async def _post(self, hook: Target, body: bytes) -> bytes:
        import aiohttp
        from yarl import URL

        url, server_name = self._target(hook)
        headers = {"Content-Type": "application/json", "Accept": "application/json", **tracing.outgoing()}
        if server_name:
            headers["Host"] = server_name
        try:
            async with self._client().post(
                URL(url).update_query(timeout=f"{hook.timeout}s"),
                data=body,
                headers=headers,
                ssl=self._context(hook.ca_bundle, server_name),
                server_hostname=server_name or None,
                allow_redirects=False,
            ) as answer:
                told = await answer.content.read(ANSWER_LIMIT) if answer.status < 300 else b""
                while told and not answer.content.at_eof() and len(told) < ANSWER_LIMIT:
                    told += await answer.content.read(ANSWER_LIMIT)
                if answer.status >= 300:
                    raise CallError(f"the server answered {answer.status} {answer.reason}")
                return told
        except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
            raise CallError(str(error) or type(error).__name__) from error

    def _client(self) -> aiohttp.ClientSession:
        import aiohttp  # a server without webhooks does not pay for it

        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None),
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
                skip_auto_headers=("User-Agent",),
                headers={"User-Agent": "kube-apiserver-admission"},
            )
        return self._session

    def _target(self, hook: Target) -> tuple[str, str]:
        """The URL to connect to and the name to expect there; empty when it is the URL's."""
        if hook.service is None:
            if urlsplit(hook.url).scheme != "https":
                raise CallError("the URL's scheme must be https")
            return hook.url, ""
        host, port = endpoint_of(self._reader, hook.service)
        location = Location(host, port, self._context(hook.ca_bundle, hook.service.server_name))
        return location.origin + _slashed(hook.path), hook.service.server_name

    def _context(self, ca_bundle: bytes, server_name: str) -> ssl.SSLContext:
        """One context per authority and name: aiohttp keeps connections apart by it."""
        context = self._contexts.get((ca_bundle, server_name))
        if context is None:
            try:
                context = ssl.create_default_context(cadata=ca_bundle.decode() if ca_bundle else None)
            except (ssl.SSLError, ValueError) as error:
                raise CallError(f"unable to load root certificates: {error}") from error
            self._contexts[ca_bundle, server_name] = context
        return context
