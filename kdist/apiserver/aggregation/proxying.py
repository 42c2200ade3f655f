"""Pass a request on to the server that an APIService names, as the user who made it.

That server believes our front-proxy certificate, so what the client itself says in the headers by which we name the
user must never reach it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from kdist.api.errors import BadRequest, ServiceUnavailable
from kdist.apiserver import answers
from kdist.apiserver.aggregation.backends import Backend
from kdist.apiserver.authn.user import User
from kdist.apiserver.request import Request, Send
from kdist.apiserver.requestinfo import RequestInfo
from kdist.apiserver.streaming.tunnel import tunnel
from kdist.telemetry import log

if TYPE_CHECKING:
    from kdist.apiserver.core import Core

_log = log.get(__name__)
_IDENTITY = (
    "x-remote-user",
    "x-remote-uid",
    "x-remote-group",
    "x-remote-extra-",
    "impersonate-",
    "authorization",
)
_DOTS = frozenset({".", ".."})
UNAVAILABLE = b"service unavailable\n"


def backend_for(known: dict[tuple[str, str], Backend], info: RequestInfo) -> Backend | None:
    """The backend that a request is for: of its resource, or of the group and version that its path names.

    Other paths below a group are nobody's: they were not authorized as what a backend might take them for.
    """
    if info.is_resource:
        return known.get((info.group, info.version))
    match info.path.strip("/").split("/"):
        case ["apis", group, version]:
            return known.get((group, version))
        case ["api", version]:
            return known.get(("", version))
        case ["openapi", "v3", "apis", group, version]:
            return known.get((group, version))
    return None


async def proxy(core: Core, request: Request, send: Send, backend: Backend) -> None:
    """Answer with what the backend answers; 503 when it cannot be reached."""
    if _DOTS.intersection(request.path.split("/")):
        raise BadRequest("the path must not have dots for segments")  # a backend may take it for another path
    if not backend.available:
        await _unavailable(request, send)
        return
    try:
        location = core.aggregation.backends.locate(backend)
    except ServiceUnavailable as error:
        _log.warning("cannot find the server of an APIService", name=backend.name, error=error.message)
        await _unavailable(request, send)
        return
    target = request.scope["raw_path"].decode("latin-1")
    if query := request.scope["query_string"].decode("latin-1"):
        target = f"{target}?{query}"
    identity = list(identity_headers(request.user))
    if request.wants_upgrade:
        extra = [(name.lower().encode(), value.encode()) for name, value in identity]
        await tunnel(request, send, location, target, stopping=core.stopping, extra=extra)
        return
    await core.forwarder.relay(
        request, send, location, target, drop=_IDENTITY, extra=identity, stopping=core.stopping
    )


async def _unavailable(request: Request, send: Send) -> None:
    extra = [("X-Content-Type-Options", "nosniff")]
    kind = "text/plain; charset=utf-8"
    await answers.send_bytes(request, send, UNAVAILABLE, status=503, content_type=kind, extra=extra)


def identity_headers(user: User) -> Iterator[tuple[str, str]]:
    """The headers that name a user to a server which trusts us."""
    yield "X-Remote-User", _sendable(user.name)
    for group in user.groups:
        yield "X-Remote-Group", _sendable(group)
    for key, values in user.extra.items():
        for value in values:
            yield f"X-Remote-Extra-{quote(key.lower(), safe=_KEY_SAFE)}", _sendable(value)


_KEY_SAFE = "!#$&'*+-.^_`|~"  # what header names may have; the percent sign itself is escaped


def _sendable(value: str) -> str:
    """A value for a header, without the characters that would end it."""
    return value.replace("\r", " ").replace("\n", " ")
