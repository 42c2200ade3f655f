"""Routes, access control and TLS of the agent's HTTPS server, and its life."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from kdist.agent.cri.errors import CriError
from kdist.agent.interfaces import ContainerNotFound, Runtime
from kdist.agent.server.access import Access, AuthenticationFailed, Refused, attributes
from kdist.agent.server.handlers import Handlers
from kdist.agent.server.logformat import BadOption
from kdist.agent.server.streams import Streams
from kdist.agent.server.tunnel import StreamRefused
from kdist.api.errors import ApiError
from kdist.client.rest import Unreachable
from kdist.pki.serving import server_context
from kdist.telemetry import log

_log = log.get(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# What ends a request with a status and the error's own text.
_STATUSES: dict[type[Exception], int] = {
    BadOption: 400,
    AuthenticationFailed: 401,
    Refused: 403,
    ContainerNotFound: 404,
    StreamRefused: 500,
    ApiError: 500,
    Unreachable: 500,
    CriError: 500,
    OSError: 500,
}
# A stream in use holds up the shutdown this long at most.
_SHUTDOWN_SECONDS = 2.0


def build(access: Access | None, handlers: Handlers, streams: Streams) -> web.Application:
    """The application; without ``access`` everybody may do everything (tests)."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if access is not None:
                await _check(access, request)
            return await handler(request)
        except tuple(_STATUSES) as error:
            status = next(code for kind, code in _STATUSES.items() if isinstance(error, kind))
            if status == 500:
                _log.warning("request failed", path=request.path, reason=error)
            return web.Response(text=str(error) or "Unauthorized", status=status)

    app = web.Application(middlewares=[guarded])
    app.add_routes(_plain_routes(handlers) + _stream_routes(streams))
    return app


async def _check(access: Access, request: web.Request) -> None:
    transport = request.transport
    peer = transport.get_extra_info("peercert") if transport is not None else None
    user = await access.authenticate(peer, request.headers.get("Authorization", ""))
    await access.authorize(user, attributes(request.method, request.path))


def _plain_routes(handlers: Handlers) -> list[web.RouteDef]:
    return [
        web.get("/healthz", handlers.healthz),
        web.get("/pods", handlers.pods),
        web.get("/pods/", handlers.pods),
        web.get("/runningpods/", handlers.running_pods),
        web.get("/runningpods", handlers.running_pods),
        web.get("/configz", handlers.configz),
        web.get("/stats/summary", handlers.stats),
        web.get("/metrics", handlers.metrics),
        web.get("/metrics/resource", handlers.resource_metrics),
        web.get("/metrics/cadvisor", handlers.container_metrics),
        web.get("/containerLogs/{namespace}/{pod}/{container}", handlers.container_logs),
    ]


def _stream_routes(streams: Streams) -> list[web.RouteDef]:
    routes = [web.post("/run/{namespace}/{pod}/{container}", streams.run)]
    routes.append(web.post("/run/{namespace}/{pod}/{uid}/{container}", streams.run))
    for path, handler in (("exec", streams.exec), ("attach", streams.attach)):
        for pattern in ("{namespace}/{pod}/{container}", "{namespace}/{pod}/{uid}/{container}"):
            # WebSocket clients open with GET, SPDY clients with POST.
            routes.append(web.get(f"/{path}/{pattern}", handler, allow_head=False))
            routes.append(web.post(f"/{path}/{pattern}", handler))
    for pattern in ("{namespace}/{pod}", "{namespace}/{pod}/{uid}"):
        routes.append(web.get(f"/portForward/{pattern}", streams.port_forward, allow_head=False))
        routes.append(web.post(f"/portForward/{pattern}", streams.port_forward))
    return routes


def tls_context(certificate: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """The server's TLS, which follows its files: client certificates are optional, but must be of ``client_ca``."""
    context, _ = server_context(_plain_context, certificate, key, [client_ca] if client_ca else [])
    return context


def _plain_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@contextlib.asynccontextmanager
async def serve(
    runtime: Runtime,
    access: Access | None,
    *,
    address: str,
    port: int,
    tls: ssl.SSLContext | None,
    root: Path,
    configuration: Mapping[str, Any] | None = None,
    healthy: Callable[[], str | None] = lambda: None,
) -> AsyncIterator[None]:
    """Serve while the block runs. ``root`` is the agent's directory. OSError when the port is taken."""
    handlers = Handlers(runtime, root, configuration or {}, healthy)
    runner = web.AppRunner(
        build(access, handlers, Streams(runtime)),
        access_log=None,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        handler_cancellation=True,  # a follower whose client has gone must not follow for ever
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, address, port, ssl_context=tls, reuse_address=True).start()
        yield
    finally:
        await runner.cleanup()
