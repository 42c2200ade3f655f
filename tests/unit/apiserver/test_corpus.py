"""Our server gives upstream's answers to the requests of the corpus, kind by kind."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from kdist.api.scheme import Scheme
from kdist.apiserver.authn.user import User
from kdist.apiserver.lifecycle import ApiServer
from kdist.config.apiserver import ApiServerSettings
from tests.corpus import compare, discovery, gated, scenarios
from tests.corpus.resources import Case, Run, all_cases
from tests.corpus.transport import Answer, Call, decoded

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Whose certificate the answers were recorded with.
_CREDENTIAL = "X509SHA256=c8e5593c8e3d5162fb5d572bf3d80b3f18d3576722ba813570e2673bdd644de3"
_ADMIN = User(
    "admin",
    groups=("system:masters", "system:authenticated"),
    extra={"authentication.kubernetes.io/credential-id": (_CREDENTIAL,)},
)
_CASES = all_cases()


class _Everybody:
    """Authenticates every request as the administrator; the rest is the server's own authenticator's."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def authenticate(self, scope: dict[str, Any], headers: Any = None) -> User:
        return _ADMIN


class _InProcess:
    """Calls the server's application itself, without a network in between."""

    def __init__(self, server: ApiServer) -> None:
        self._app = server.app

    async def send(self, call: Call) -> Answer:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": call.payload, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(_scope(call), receive, send)
        headers = [(k.decode().lower(), v.decode()) for k, v in sent[0]["headers"]]
        return Answer(
            sent[0]["status"],
            decoded(b"".join(m.get("body", b"") for m in sent[1:])),
            tuple(v for k, v in headers if k == "warning"),
            dict(headers).get("retry-after", ""),
        )


def _scope(call: Call) -> dict[str, Any]:
    path, _, query = call.target.partition("?")
    headers = {"content-type": call.content_type, "accept": call.accept, "user-agent": "corpus"}
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


@contextlib.asynccontextmanager
async def _serving(*gates: str) -> AsyncIterator[_InProcess]:
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
    yield _InProcess(server)
    await server.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def transport() -> AsyncIterator[_InProcess]:
    async with _serving() as made:
        yield made


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.resource)
async def test_answers_are_upstreams(transport: _InProcess, case: Case) -> None:
    want = compare.expected(case)
    assert want, (
        f"{case.resource} was never recorded: python -m tests.corpus.record KUBECONFIG {case.resource}"
    )
    found = compare.differing(want, await Run(case, transport)())
    known = set(compare.known_differences().get(case.resource, ()))
    unknown = {told: lines for told, lines in found.items() if told not in known}
    assert not unknown, "\n".join(f"{told}\n    " + "\n    ".join(lines) for told, lines in unknown.items())
    equal = known - found.keys()
    assert not equal, f"no longer different, take it off differences.yaml: {sorted(equal)}"


@pytest.mark.parametrize("scenario", list(scenarios.scenarios()), ids=lambda scenario: scenario.id)
async def test_scenarios_go_as_upstream_says(transport: _InProcess, scenario: scenarios.Scenario) -> None:
    want = scenarios.expected(scenario.file).get(scenario.name)
    assert want, f"{scenario.id} was never recorded: python -m tests.corpus.scenarios KUBECONFIG"
    found = compare.differing(want, await scenarios.play(scenario, transport))
    known = set(scenarios.known_differences().get(scenario.id, ()))
    unknown = {told: lines for told, lines in found.items() if told not in known}
    assert not unknown, "\n".join(f"{told}\n    " + "\n    ".join(lines) for told, lines in unknown.items())
    equal = known - found.keys()
    assert not equal, f"no longer different, take it off scenario_differences.yaml: {sorted(equal)}"


async def test_pods_under_feature_gates_are_answered_as_upstream_does() -> None:
    async with _serving(*(f"{gate}=true" for gate in gated.cases().gates)) as transport:
        found = compare.differing(gated.expected(), await gated.ask(transport))
    assert not found, "\n".join(f"{told}\n    " + "\n    ".join(lines) for told, lines in found.items())


async def test_discovery_tells_what_upstreams_does(transport: _InProcess) -> None:
    assert await discovery.ask(transport) == discovery.expected()


async def test_every_kind_has_a_case(scheme: Scheme) -> None:
    served = {f"{r.api_version}/{r.plural}" for r in scheme}
    missing = served - {case.resource for case in _CASES} - {"v1/componentstatuses"}
    assert not missing, f"no case for {sorted(missing)}: add one to tests/corpus/cases and record it"
