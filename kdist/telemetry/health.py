"""Health and metrics endpoints for components that are not HTTP servers themselves.

``/livez``, ``/readyz``, ``/healthz`` and ``/metrics`` (Prometheus text format) over plain HTTP; bind it to
loopback unless something on another host has to ask.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

# A check returns None when it holds, else the reason why not.
Check = Callable[[], str | None]


def _report(checks: Mapping[str, Check]) -> web.Response:
    lines, healthy = [], True
    for name, check in checks.items():
        reason = check()
        healthy = healthy and reason is None
        lines.append(f"[+]{name} ok" if reason is None else f"[-]{name} failed: {reason}")
    verdict = "ok" if healthy else "check failed"
    text = verdict if healthy else "\n".join([*lines, verdict])
    return web.Response(text=text, status=200 if healthy else 500)


@contextlib.asynccontextmanager
async def serve(
    address: str, *, live: Mapping[str, Check] | None = None, ready: Mapping[str, Check] | None = None
) -> AsyncIterator[None]:
    """Serve the endpoints at ``HOST:PORT`` while the block runs. OSError when the address is taken."""
    host, _, port = address.rpartition(":")

    async def livez(_: web.Request) -> web.Response:
        return _report(live or {})

    async def readyz(_: web.Request) -> web.Response:
        return _report({**(live or {}), **(ready or {})})

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes(
        [
            web.get("/livez", livez),
            web.get("/healthz", livez),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, int(port)).start()
        yield
    finally:
        await runner.cleanup()
