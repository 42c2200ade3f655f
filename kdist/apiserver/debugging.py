"""/metrics, and the debug tables of flow control."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import FastAPI, Request, Response

from kdist.apiserver import metrics, peers
from kdist.apiserver.core import Core
from kdist.apiserver.flowcontrol import dumps
from kdist.apiserver.flowcontrol.gate import FlowGate
from kdist.telemetry import series

_DUMPS = "/debug/api_priority_and_fairness"


def install(app: FastAPI, core: Core) -> None:
    """Serve both."""

    def objects() -> Iterable[tuple[tuple[str, ...], float]]:
        for cache in core.hub.caches():
            group, _, plural = cache.prefix.removeprefix("/registry/").rstrip("/").rpartition("/")
            yield (f"{plural}.{group}" if group else plural,), len(cache)

    metrics.OBJECTS.read = objects

    @app.get("/metrics")
    async def numbers() -> Response:
        return Response(await peers.exposition(), headers={"Content-Type": series.CONTENT_TYPE})

    @app.get(f"{_DUMPS}/{{table}}")
    async def dump(request: Request, table: str) -> Response:
        gate = core.gate
        if not isinstance(gate, FlowGate):
            return _text("404 page not found\n", 404)
        if table == "dump_priority_levels":
            return _text(dumps.priority_levels(gate.levels))
        if table == "dump_queues":
            return _text(dumps.queues(gate.levels))
        if table == "dump_requests":
            details = bool(request.query_params.get("includeRequestDetails"))
            return _text(dumps.requests(gate.levels, details=details))
        return _text("404 page not found\n", 404)


def _text(body: str, status: int = 200) -> Response:
    return Response(body, status, media_type="text/plain; charset=utf-8")
