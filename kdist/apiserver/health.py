"""The endpoints /livez, /readyz and /healthz: the checks together, one by one, with ``verbose`` and ``exclude``.

Why a check fails is nobody's business who may only ask whether the server is well: it goes to the log.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI, Request, Response

from kdist.telemetry import log

_log = log.get(__name__)
# A check returns None when it holds, else the reason why not.
Check = Callable[[], Awaitable[str | None]]
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache, private"}


def install(app: FastAPI, name: str, checks: Mapping[str, Check]) -> None:
    """Serve ``/NAME`` and ``/NAME/CHECK``."""

    @app.get(f"/{name}")
    async def whole(request: Request) -> Response:
        return await _report(name, request, checks)

    @app.get(f"/{name}/{{check:path}}")
    async def one(request: Request, check: str) -> Response:
        if check not in checks:
            return _text("404 page not found\n", 404)
        return await _report(check, request, {check: checks[check]}, single=True)


async def _report(
    name: str, request: Request, checks: Mapping[str, Check], *, single: bool = False
) -> Response:
    excluded = set(request.query_params.getlist("exclude"))
    lines, failed = [], []
    for check, test in checks.items():
        if check in excluded:
            lines.append(f"[+]{check} excluded: ok")
        elif (reason := await test()) is None:
            lines.append(f"[+]{check} ok")
        else:
            failed.append(f"{check}: {reason}")
            lines.append(f"[-]{check} failed: reason withheld")
    unknown = sorted(excluded - set(checks))
    if unknown:
        named = ", ".join(f'"{check}"' for check in unknown)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {named}")
    if failed:
        _log.warning("health check failed", endpoint=request.url.path, failed="; ".join(failed))
        if single:
            return _text(f"internal server error: {failed[0].partition(': ')[2]}\n", 500)
        return _text("\n".join([*lines, f"{name} check failed", ""]), 500)
    if "verbose" in request.query_params:
        return _text("\n".join([*lines, f"{name} check passed", ""]))
    return _text("ok")


def _text(body: str, status: int = 200) -> Response:
    return Response(body, status, headers=_HEADERS, media_type="text/plain; charset=utf-8")
