"""Logs of slow requests: what took how long, with the request's ids, like upstream's traces."""

from __future__ import annotations

from kdist.apiserver.request import Request
from kdist.telemetry import log

_log = log.get(__name__)
LOGGED_SECONDS = 0.5


def tell(request: Request, code: int, took: float) -> None:
    """Log one slow request and its steps."""
    info = request.info
    _log.warning(
        "slow request",
        audit=request.audit_id,
        verb=info.verb,
        path=request.path,
        query=request.scope["query_string"].decode("latin-1")[:256],
        user=request.user.name,
        agent=request.header(b"user-agent")[:128],
        code=code,
        total=f"{took * 1000:.0f}ms",
        steps=steps(request, took),
        **trace(request),
    )


def steps(request: Request, took: float) -> str:
    """``authorized 1ms, body read 480ms, answered 20ms``: each step with the time since the one before."""
    told, last = [], request.begun
    for what, at in (*(request.steps or ()), ("answered", request.begun + took)):
        told.append(f"{what} {(at - last) * 1000:.0f}ms")
        last = at
    return ", ".join(told)


def trace(request: Request) -> dict[str, str]:
    """The ids of a W3C trace context that came with the request; empty without one, or with a broken one."""
    parts = request.header(b"traceparent").split("-")
    if len(parts) < 4 or [len(part) for part in parts[:4]] != [2, 32, 16, 2]:
        return {}
    return {"trace": parts[1], "span": parts[2]}
