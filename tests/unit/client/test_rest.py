"""The client against a small server in the same process."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from kdist.api import errors
from kdist.api.kinds import PODS
from kdist.client.kubeconfig import Access
from kdist.client.rest import Client, Unreachable


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    app = web.Application()
    throttled = iter([True, False])

    async def pods(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"items": [{"metadata": {"name": request.headers["Authorization"]}}]})
        response = web.StreamResponse()
        await response.prepare(request)
        for part in (b'{"type":"ADDED","object":{"metadata":{"na', b'me":"a"}}}\n{"type":"ERROR","object":'):
            await response.write(part)
        await response.write(b'{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}\n')
        return response

    async def one(request: web.Request) -> web.Response:
        if request.match_info["name"] == "busy" and next(throttled):
            return web.json_response({"kind": "Status"}, status=429, headers={"Retry-After": "0"})
        if request.match_info["name"] == "gone":
            status = {"kind": "Status", "reason": "NotFound", "message": 'pods "gone" not found'}
            return web.json_response(status, status=404)
        return web.json_response({"metadata": {"name": "x"}})

    app.router.add_get("/api/v1/pods", pods)
    app.router.add_get("/api/v1/namespaces/n/pods/{name}", one)
    async with TestServer(app) as running:
        yield running


def access(server: TestServer, tmp_path: Path) -> Access:
    token = tmp_path / "token"
    token.write_text("t0\n")
    dead = f"http://127.0.0.1:{unused_port()}"
    return Access((dead, f"http://127.0.0.1:{server.port}"), token_file=token)


async def test_the_next_server_answers_when_the_first_does_not(server: TestServer, tmp_path: Path) -> None:
    async with Client(access(server, tmp_path), user_agent="t") as client:
        (pod,) = (await client.list(PODS)).items
        assert pod["metadata"]["name"] == "Bearer t0"
        assert (pod["apiVersion"], pod["kind"]) == ("v1", "Pod")


async def test_no_server_at_all_is_unreachable() -> None:
    async with Client(Access((f"http://127.0.0.1:{unused_port()}",)), user_agent="t") as client:
        with pytest.raises(Unreachable):
            await client.list(PODS)


async def test_refusals_are_raised_as_what_they_are(server: TestServer, tmp_path: Path) -> None:
    async with Client(access(server, tmp_path), user_agent="t") as client:
        with pytest.raises(errors.NotFound, match='pods "gone" not found'):
            await client.get(PODS, "gone", "n")
        assert await client.get(PODS, "busy", "n"), "asked to wait, it tries again"


async def test_a_watch_yields_events_and_raises_errors(server: TestServer, tmp_path: Path) -> None:
    async with Client(access(server, tmp_path), user_agent="t") as client:
        seen = []
        with pytest.raises(errors.Expired):
            async for event in client.watch(PODS, resource_version="1"):
                seen.append((event.type, event.object["metadata"]["name"]))
        assert seen == [("ADDED", "a")]


async def test_a_client_without_access_waits_for_it(server: TestServer, tmp_path: Path) -> None:
    async with Client(None, user_agent="t") as client:
        asked = asyncio.create_task(client.list(PODS))
        await asyncio.sleep(0)
        assert not asked.done()
        client.use(access(server, tmp_path))
        assert len((await asked).items) == 1


async def test_an_exchanged_access_is_used_from_the_next_request_on(
    server: TestServer, tmp_path: Path
) -> None:
    nobody = Access((f"http://127.0.0.1:{unused_port()}",))
    async with Client(nobody, user_agent="t") as client:
        named = client.named("other")
        with pytest.raises(Unreachable):
            await named.list(PODS)
        client.use(access(server, tmp_path))
        assert len((await named.list(PODS)).items) == 1, "clients of one pool share it"
