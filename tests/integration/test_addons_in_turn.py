"""Workloads of the cluster's own are renewed one after the other, and not at all after one that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from kdist.api import kinds
from kdist.client.rest import Client
from kdist.lifecycle import objects
from kdist.lifecycle.upgrade import addons
from kdist.lifecycle.workloads import missing
from tests.integration.conftest import Kubectl

NAMES = ("a", "b")


@pytest_asyncio.fixture
async def client(cluster: Kubectl, kubeconfig: Path) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(kubeconfig, user_agent="test") as made:
        yield made


def deployment(namespace: str, name: str, version: str, **spec: Any) -> dict[str, Any]:
    """A Deployment of three pods that name a version."""
    labels = {"app": name}
    containers = [{"name": "main", "image": f"localhost/{name}:{version}"}]
    template = {
        "metadata": {"labels": labels, "annotations": {addons.VERSION: version}},
        "spec": {"containers": containers, **spec},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 3, "selector": {"matchLabels": labels}, "template": template},
    }


async def begun(kubectl: Kubectl, kubeconfig: Path) -> None:
    """Two workloads of the first version, whole."""
    made = [deployment(kubectl.namespace, name, "1") for name in NAMES]
    await objects.apply_objects(str(kubeconfig), made, 60, dry_run=False)
    for name in NAMES:
        await asyncio.to_thread(kubectl, "rollout", "status", f"deployment/{name}", "--timeout=60s")


async def in_turn(client: Client, namespace: str, version: str, work: Coroutine[Any, Any, Any]) -> bool:
    """Whether the second never had the new version while the first was not whole at it, however often one looks."""
    doing, fine, looks = asyncio.ensure_future(work), True, 0
    while not doing.done():
        found = {
            item["metadata"]["name"]: item for item in (await client.list(kinds.DEPLOYMENTS, namespace)).items
        }
        first, second = (_version(found[name]) == version for name in NAMES)
        fine = fine and (not second or (first and missing(found[NAMES[0]]) is None))
        looks += 1
    await doing
    assert looks > 3
    return fine


def _version(item: dict[str, Any]) -> str:
    return str(item["spec"]["template"]["metadata"]["annotations"][addons.VERSION])


async def test_a_workload_is_changed_when_the_one_before_is_whole_again(
    kubectl: Kubectl, client: Client, kubeconfig: Path
) -> None:
    await begun(kubectl, kubeconfig)
    new = [deployment(kubectl.namespace, name, "2") for name in NAMES]
    work = objects.apply_objects(str(kubeconfig), new, 60, dry_run=False)
    assert await in_turn(client, kubectl.namespace, "2", work)


async def test_workloads_go_back_in_turn_too(kubectl: Kubectl, client: Client, kubeconfig: Path) -> None:
    await begun(kubectl, kubeconfig)
    kept = addons.templates(
        [deployment(kubectl.namespace, name, "0") for name in NAMES],
    )
    assert await in_turn(client, kubectl.namespace, "0", addons.put_back(client, kept))


async def test_nothing_is_changed_after_a_workload_that_does_not_come_up(
    kubectl: Kubectl, kubeconfig: Path
) -> None:
    await begun(kubectl, kubeconfig)
    bad = deployment(kubectl.namespace, "a", "2", nodeSelector={"there": "no"})
    new = [bad, deployment(kubectl.namespace, "b", "2")]
    with pytest.raises(objects.Failed, match=f"Deployment {kubectl.namespace}/a: .* of 3 .*, 3 s after"):
        await objects.apply_objects(str(kubeconfig), new, 3, dry_run=False)
    other = kubectl.get("deployment", "b")["spec"]["template"]["metadata"]["annotations"]
    assert other == {addons.VERSION: "1"}


async def test_what_is_broken_already_is_not_waited_for(kubectl: Kubectl, kubeconfig: Path) -> None:
    await begun(kubectl, kubeconfig)
    bad = deployment(kubectl.namespace, "a", "2", nodeSelector={"there": "no"})
    with pytest.raises(objects.Failed):
        await objects.apply_objects(str(kubeconfig), [bad], 1, dry_run=False)
    worse = deployment(kubectl.namespace, "a", "3", nodeSelector={"there": "no"})
    new = [worse, deployment(kubectl.namespace, "b", "2")]
    told = await objects.apply_objects(str(kubeconfig), new, 60, dry_run=False)
    assert told == [f"Deployment {kubectl.namespace}/{name}" for name in NAMES]
