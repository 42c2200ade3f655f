"""Our server in this process, for the comparisons of the corpus: no network, the administrator's requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from kdist.apiserver.authn.user import User
from kdist.apiserver.lifecycle import ApiServer
from kdist.config.apiserver import ApiServerSettings
from tests.corpus.transport import Answer, Call, decoded

# Whose certificate the answers were recorded with.
_CREDENTIAL = "X509SHA256=c8e5593c8e3d5162fb5d572bf3d80b3f18d3576722ba813570e2673bdd644de3"
_ADMIN = User(
    "admin",
    groups=("system:masters", "system:authenticated"),
    extra={"authentication.kubernetes.io/credential-id": (_CREDENTIAL,)},
)


class _Everybody:
    """Authenticates every request as the administrator; the rest is the server's own authenticator's."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def authenticate(self, scope: dict[str, Any], headers: Any = None) -> User:
        return _ADMIN


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer as it goes over the wire; of headers of one name the last."""

    status: int
    headers: dict[str, str]
    body: bytes
    warnings: tuple[str, ...]


class InProcess:
    """Calls the server's application itself, without a network in between."""

    def __init__(self, server: ApiServer) -> None:
        self._app = server.app

    async def send(self, call: Call) -> Answer:
        raw = await self.ask(call)
        return Answer(raw.status, decoded(raw.body), raw.warnings, raw.headers.get("retry-after", ""))

    async def ask(self, call: Call, extra: Mapping[str, str] = MappingProxyType({})) -> Raw:
        """The answer as it goes over the wire; ``extra`` headers go with the request."""
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": call.payload, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(_scope(call, extra), receive, send)
        headers = [(k.decode().lower(), v.decode()) for k, v in sent[0]["headers"]]
        return Raw(
            sent[0]["status"],
            dict(headers),
            b"".join(m.get("body", b"") for m in sent[1:]),
            tuple(v for k, v in headers if k == "warning"),
        )


def _scope(call: Call, extra: Mapping[str, str]) -> dict[str, Any]:
    path, _, query = call.target.partition("?")
    headers = {name.lower(): value for name, value in {**call.headers, **extra}.items()}
    return {
        "type": "http",
        "method": call.method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        "state": {},
        "extensions": {},
    }


@asynccontextmanager
async def serving(*gates: str) -> AsyncIterator[InProcess]:
    """A new server without objects but its own, with ``GATE=true`` pairs."""
    settings = ApiServerSettings(
        storage="memory",
        bind_address="127.0.0.1",
        secure_port=0,
        advertise_address="192.0.2.10",
        shutdown_grace=0.1,
        feature_gates=gates,
    )
    server = ApiServer(settings)
    server.core.authenticator = _Everybody(server.core.authenticator)  # type: ignore[assignment]
    await server.start()
    yield InProcess(server)
    await server.stop()
