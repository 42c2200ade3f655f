"""What our server publishes about itself is what upstream's does: OpenAPI documents and aggregated discovery."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.corpus import compare, discovery, openapi
from tests.corpus.inprocess import InProcess, serving
from tests.corpus.transport import Call

pytestmark = pytest.mark.asyncio(loop_scope="module")

# What differs, and why; each has to.
_OTHERWISE = {
    # Upstream serves custom resources from a server of their own, whose documents have its title.
    *(
        f"{path}.{what}"
        for path in ("apis/sky.example.com/v1", "apis/sky.example.com/v1beta1", "apis/stable.example.com/v1")
        for what in (
            'info.title: "Kubernetes CRD Swagger", not "Kubernetes"',
            'info.version: "v0.1.0", not "1.32"',
            'security.BearerToken: nothing, not {"type":"apiKey","name":"authorization","in":"header"}',
        )
    ),
    # Upstream stores definitions as v1beta1, this server as v1.
    '/apis/apiextensions.k8s.io/v1[1].storageVersionHash: "jfWCUB31mvA=", not "M5uH+AlWATY="',
}
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def transport() -> AsyncIterator[InProcess]:
    async with serving() as server:
        await openapi.serve(server, turns=1000, pause=0)
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def documents(transport: InProcess) -> openapi.Facts:
    return await openapi.ask(transport)


def _found(want: dict[str, Any], have: dict[str, Any]) -> set[str]:
    return {line for told in {**want, **have} for line in compare.lines(want.get(told), have.get(told), told)}


async def test_openapi_documents_say_what_upstreams_do(documents: openapi.Facts) -> None:
    want = openapi.expected()
    found = {line for part in want for line in _found(want[part], documents[part])}
    known = {line for line in _OTHERWISE if not line.startswith("/")}
    unknown = sorted(found - known)
    assert not unknown, f"{len(unknown)} differences:\n" + "\n".join(unknown[:50])
    assert found == known, "no longer different, take it off the list"


async def test_discovery_documents_are_upstreams(transport: InProcess) -> None:
    want, have = discovery.expected_documents(), await discovery.documents(transport)
    assert [name for name in have if name in want] == list(have)
    assert _found(want, have) == {line for line in _OTHERWISE if line.startswith("/")}


_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


@pytest.mark.parametrize(
    ("path", "accept", "status", "media_type"),
    [
        ("/openapi/v2", "", 200, "application/json"),
        ("/openapi/v2", "application/json, */*", 200, "application/json"),
        ("/openapi/v2", _PROTOBUF, 200, _PROTOBUF),
        ("/openapi/v2", f"{_PROTOBUF},application/json;q=0.5", 200, _PROTOBUF),
        ("/openapi/v2", f"application/json,{_PROTOBUF};q=0.5", 200, "application/json"),
        ("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", 200, _PROTOBUF),
        ("/openapi/v2", "application/yaml", 406, ""),
        ("/openapi/v2", "text/html", 406, ""),
        ("/openapi/v3/apis/apps/v1", "application/json", 200, "application/json"),
        ("/openapi/v3/apis/apps/v1", "text/html", 406, ""),
        ("/openapi/v3/apis/nope/v1", "", 404, ""),
        ("/apis", "application/yaml", 200, "application/yaml"),
        ("/apis", "application/vnd.kubernetes.protobuf, application/json", 200, "application/json"),
        ("/apis/apps", "application/vnd.kubernetes.protobuf, */*", 200, "application/json"),
        ("/apis/apps/v1", "text/html", 406, ""),
        ("/apis", "application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList", 406, ""),
    ],
)
async def test_the_form_follows_the_accept_header(
    transport: InProcess, path: str, accept: str, status: int, media_type: str
) -> None:
    answer = await transport.ask(Call("GET", path, accept=accept))
    assert answer.status == status
    assert not media_type or answer.headers["content-type"] == media_type


async def test_a_document_at_its_hash_may_be_kept_for_good(transport: InProcess) -> None:
    index = (await transport.send(Call("GET", "/openapi/v3"))).body["paths"]
    address = index["apis/apps/v1"]["serverRelativeURL"]
    path, _, digest = address.partition("?hash=")
    kept = await transport.ask(Call("GET", path, query={"hash": digest}))
    assert (kept.status, kept.headers["cache-control"]) == (200, "public, immutable")
    assert kept.headers["etag"] == f'"{digest}"' and "expires" in kept.headers
    outdated = await transport.ask(Call("GET", path, query={"hash": "OTHER"}))
    assert (outdated.status, outdated.headers["location"]) == (301, address)
    plain = await transport.ask(Call("GET", path))
    assert plain.status == 200 and "cache-control" not in plain.headers


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/openapi/v2", ""),
        ("/openapi/v2", _PROTOBUF),
        ("/openapi/v3/apis/apps/v1", ""),
        ("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
    ],
)
async def test_who_has_a_document_is_told_so(transport: InProcess, path: str, accept: str) -> None:
    tag = (await transport.ask(Call("GET", path, accept=accept))).headers["etag"]
    for tags, status in ((tag, 304), (f'"other", {tag}', 304), ('"other"', 200)):
        answer = await transport.ask(Call("GET", path, accept=accept), {"if-none-match": tags})
        assert (answer.status, answer.headers["etag"]) == (status, tag)


async def test_a_document_changes_its_hash_with_what_is_served(transport: InProcess) -> None:
    async def hashes() -> dict[str, str]:
        paths = (await transport.send(Call("GET", "/openapi/v3"))).body["paths"]
        return {path: entry["serverRelativeURL"] for path, entry in paths.items()}

    before = await hashes()
    answer = await transport.send(
        Call(
            "PATCH",
            f"{_CRDS}/crontabs.stable.example.com",
            [{"op": "remove", "path": "/spec/versions/0/subresources/scale"}],
            content_type="application/json-patch+json",
        )
    )
    assert answer.status == 200, answer.body
    after = before
    for _ in range(1000):  # turns of the loop until the change has come through the cache
        if (after := await hashes()) != before:
            break
        await asyncio.sleep(0)
    assert {path for path in before if before[path] != after[path]} == {"apis/stable.example.com/v1"}
