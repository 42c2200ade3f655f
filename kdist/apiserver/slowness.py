"""Logs of slow requests: what took how long, with the request's ids, like upstream's traces."""

from __future__ import annotations

from kdist.apiserver.request import Request
from kdist.telemetry import log, tracing

_log = log.get(__name__)
LOGGED_SECONDS = 0.5
PER_SECOND = 10  # more are only counted: when everything is slow, logging must not make it slower


class _Limit:
    """How many logs this second still has, and how many went without."""

    def __init__(self) -> None:
        self._second = self._count = 0
        self.left_out = 0

    def allows(self, now: float) -> bool:
        """Whether one more may be logged."""
        if int(now) != self._second:
            self._second, self._count = int(now), 0
        self._count += 1
        if self._count > PER_SECOND:
            self.left_out += 1
            return False
        return True


_limit = _Limit()


def tell(request: Request, code: int, took: float) -> None:
    """Log one slow request and its steps."""
    if not _limit.allows(request.begun + took):
        return
    info = request.info
    left_out, _limit.left_out = _limit.left_out, 0
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
        **({"left_out": left_out} if left_out else {}),
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
    return tracing.ids(request.header(b"traceparent"))
