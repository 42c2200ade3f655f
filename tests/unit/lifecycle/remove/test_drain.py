"""Emptying a node: pods that go, pods that are kept, and what is said of those that stay."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kdist.client.kubeconfig import Access
from kdist.client.rest import Client
from kdist.lifecycle.remove import drain
from kdist.lifecycle.remove.plan import Pod


class Cluster:
    """Pods of namespace d: name to uid; evicted ones are gone at the next look, but for the ``kept`` ones."""

    def __init__(self) -> None:
        self.pods = {"web": "u1", "db": "u2"}
        self.kept: set[str] = set()
        self.ready = "True"
        self.unschedulable: list[object] = []

    async def get(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.pods:
            return web.json_response({"kind": "Status", "reason": "NotFound"}, status=404)
        return web.json_response({"metadata": {"name": name, "namespace": "d", "uid": self.pods[name]}})

    async def evict(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name in self.kept:
            told = "Cannot evict pod as it would violate the pod's disruption budget."
            return web.json_response(
                {"kind": "Status", "reason": "TooManyRequests", "message": told}, status=429
            )
        del self.pods[name]
        return web.json_response({"kind": "Status", "status": "Success"}, status=201)

    async def node(self, request: web.Request) -> web.Response:
        ready = {"type": "Ready", "status": self.ready}
        return web.json_response({"metadata": {"name": "w1"}, "status": {"conditions": [ready]}})

    async def cordon(self, request: web.Request) -> web.Response:
        if request.match_info["name"] == "gone":
            return web.json_response({"kind": "Status", "reason": "NotFound"}, status=404)
        self.unschedulable.append(json.loads(await request.text())["spec"]["unschedulable"])
        return web.json_response({"metadata": {"name": "w1"}})


@pytest.fixture
async def cluster() -> AsyncIterator[tuple[Cluster, Client]]:
    made, app = Cluster(), web.Application()
    app.router.add_get("/api/v1/namespaces/d/pods/{name}", made.get)
    app.router.add_post("/api/v1/namespaces/d/pods/{name}/eviction", made.evict)
    app.router.add_get("/api/v1/nodes/{name}", made.node)
    app.router.add_patch("/api/v1/nodes/{name}", made.cordon)
    async with (
        TestServer(app) as server,
        Client(Access((f"http://127.0.0.1:{server.port}",)), user_agent="t") as client,
    ):
        yield made, client


PODS = [Pod("d/web", "ReplicaSet web"), Pod("d/db", "StatefulSet db")]


async def test_pods_are_evicted_until_none_is_left(
    cluster: tuple[Cluster, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "POLL_SECONDS", 0)
    made, client = cluster
    left: list[int] = []
    assert await drain.drain(client, "w1", PODS, 60, left.append)
    assert made.pods == {}
    assert left[-1] == 0


async def test_a_pod_that_its_budget_keeps_is_named_with_the_reason(cluster: tuple[Cluster, Client]) -> None:
    made, client = cluster
    made.kept = {"db"}
    with pytest.raises(drain.NotDrained, match="pod d/db is kept by its PodDisruptionBudget: Cannot evict"):
        await drain.drain(client, "w1", PODS, -1)


async def test_a_node_is_cordoned_and_released_and_may_be_gone(cluster: tuple[Cluster, Client]) -> None:
    made, client = cluster
    await drain.cordon(client, "w1")
    await drain.cordon(client, "w1", unschedulable=False)
    await drain.cordon(client, "gone")
    assert made.unschedulable == [True, None]


async def test_nobody_waits_for_the_pods_of_a_node_that_fell_silent(cluster: tuple[Cluster, Client]) -> None:
    made, client = cluster
    made.kept, made.ready = {"db"}, "Unknown"
    assert not await drain.drain(client, "w1", PODS, 60)
