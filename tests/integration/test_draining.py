"""Draining against a real API server with its controllers: budgets, explanation, cordons; what operators leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from kdist.api import kinds
from kdist.client.rest import Client
from kdist.lifecycle.operation.journal import ClusterCopy, Entry, Journal, State
from kdist.lifecycle.operation.lock import LEASE, Held, Holder, LockHeld, shown_as_lease
from kdist.lifecycle.upgrade import drain
from tests.integration.conftest import Kubectl, eventually


@pytest_asyncio.fixture
async def client(cluster: Kubectl, kubeconfig: Path) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(kubeconfig, user_agent="test") as made:
        yield made


def web(replicas: int, at_least: int) -> tuple[dict[str, Any], dict[str, Any]]:
    labels = {"app": "web"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "web", "image": "localhost/web"}]},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web"},
        "spec": {"minAvailable": at_least, "selector": {"matchLabels": labels}},
    }
    return deployment, budget


def running(kubectl: Kubectl, replicas: int, at_least: int) -> str:
    """A Deployment with a budget that has been counted; a node with a pod of it."""
    kubectl.apply(*web(replicas, at_least))
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    eventually(
        lambda: kubectl.get("pdb", "web").get("status", {}).get("currentHealthy") == replicas,
        "the budget counts",
    )
    return str(kubectl.get("pods")["items"][0]["spec"]["nodeName"])


async def test_a_node_becomes_empty_within_the_budget_and_is_given_back(
    kubectl: Kubectl, client: Client
) -> None:
    node = running(kubectl, 4, 3)
    await drain.cordon(client, node, "test")
    try:
        assert await drain.drain(client, node, timeout=60) >= 1
        placed = {pod["spec"]["nodeName"] for pod in kubectl.get("pods")["items"]}
        assert node not in placed
    finally:
        assert await drain.uncordon(client, node)
    assert "unschedulable" not in kubectl.get("node", node)["spec"]
    assert not await drain.uncordon(client, node)


async def test_a_budget_that_allows_nothing_is_named_when_time_is_over(
    kubectl: Kubectl, client: Client
) -> None:
    node = running(kubectl, 2, 2)
    with pytest.raises(drain.DrainFailed) as caught:
        await drain.drain(client, node, timeout=2)
    told = str(caught.value)
    assert f"{node} was not empty after 2 s" in told
    budget = f"budget {kubectl.namespace}/web allows 0 disruptions: 2 of 2 pods are healthy, 2 must be"
    assert budget in told
    assert len(kubectl.get("pods")["items"]) == 2


async def test_a_cordon_of_somebody_else_stays(kubectl: Kubectl, client: Client) -> None:
    node = kubectl.get("nodes")["items"][0]["metadata"]["name"]
    kubectl("cordon", node)
    try:
        await drain.cordon(client, node, "test")
        assert not await drain.uncordon(client, node)
        assert kubectl.get("node", node)["spec"]["unschedulable"] is True
    finally:
        kubectl("uncordon", node)


async def test_another_machine_finds_the_journal_and_a_request_to_pause(
    client: Client, cluster: Kubectl
) -> None:
    copy = ClusterCopy(client, "upgrade")
    journal = Journal("upgrade", [Entry("cp1/drain", "cp1", state=State.RUNNING)], {"to": "0.2.0"})
    assert await copy.load() is None
    assert await copy.save(journal)
    assert await copy.load() == journal
    await copy.set({"pause": "true"})
    assert await copy.flag("pause")
    assert await copy.load() == journal
    await copy.set({"pause": None})
    assert not await copy.flag("pause")
    cluster("-n", "kube-system", "delete", "configmap", "kdist-upgrade")


async def test_the_lease_shows_who_holds_the_lock_and_goes_with_the_operation(
    client: Client, cluster: Kubectl
) -> None:
    held = Held(Holder.this_process("kdist upgrade apply"), ("cp1",))
    async with shown_as_lease(client, held):
        lease = await client.get(kinds.LEASES, *LEASE)
        assert lease["metadata"]["annotations"]["kdist.io/command"] == "kdist upgrade apply"
        partly = Held(Holder.this_process("kdist reset"), ("cp1",), everywhere=False)
        with pytest.raises(LockHeld, match="for `kdist upgrade apply`, renewed 0 s ago"):
            async with shown_as_lease(client, partly):
                await asyncio.sleep(0)
    assert "kdist-operator" not in cluster("-n", "kube-system", "get", "leases", "-o", "name")
