"""What the manager does with pods that come, go and come back."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import ClassVar

import pytest

from kdist.agent.pods import manager as managers
from kdist.agent.pods.manager import PodManager
from kdist.agent.pods.stages import Stage
from kdist.api import meta


def static(name: str, uid: str):
    annotations = {"kubernetes.io/config.source": "file"}
    return {
        "metadata": {"name": name, "namespace": "kube-system", "uid": uid, "annotations": annotations},
        "spec": {"containers": [{"name": "main"}]},
    }


class Worker:
    """A pod that ends when it is told that its end is over."""

    begun: ClassVar[list[Worker]] = []

    def __init__(self, host, pod):
        self.pod, self.uid, self.stage = pod, meta.uid(pod), Stage.RUNNING
        self.removed, self.updates = False, 0
        self.over = asyncio.Event()
        Worker.begun.append(self)

    def update(self, pod):
        self.updates += 1

    def remove(self):
        self.removed = True

    async def run(self):
        await self.over.wait()


@pytest.fixture
def begun(monkeypatch) -> list[Worker]:
    monkeypatch.setattr(managers, "PodWorker", Worker)
    Worker.begun = []
    return Worker.begun


async def ended(worker: Worker) -> None:
    worker.over.set()
    for _ in range(3):
        await asyncio.sleep(0)


def manager(group: asyncio.TaskGroup) -> PodManager:
    host = SimpleNamespace(
        cache=SimpleNamespace(get=lambda uid: SimpleNamespace(sandboxes=())),
        node=SimpleNamespace(allocatable={}),
        prober=SimpleNamespace(forget=lambda uid: None),
    )

    async def nobody():
        return {}

    return PodManager(host, group, dict, nobody)  # type: ignore[arg-type]


async def test_a_manifest_that_goes_and_comes_back_runs_again_once_its_pod_has_ended(begun):
    pod = static("kube-apiserver", "a")
    async with asyncio.TaskGroup() as group:
        pods = manager(group)
        pods.source_changed(None, pod)
        pods.source_changed(pod, None)
        pods.source_changed(None, pod)
        assert [w.updates for w in begun] == [0], "the ending worker must not be taken for a running one"
        await ended(begun[0])
        assert [w.uid for w in begun] == ["a", "a"] and not begun[1].removed
        await ended(begun[1])


async def test_a_manifest_that_goes_again_before_its_pod_has_ended_stays_away(begun):
    pod = static("kube-apiserver", "a")
    async with asyncio.TaskGroup() as group:
        pods = manager(group)
        pods.source_changed(None, pod)
        for old, new in ((pod, None), (None, pod), (pod, None)):
            pods.source_changed(old, new)
        await ended(begun[0])
        assert len(begun) == 1


async def test_the_next_version_of_a_static_pod_waits_for_the_one_before(begun):
    old, new = static("etcd", "a"), static("etcd", "b")
    async with asyncio.TaskGroup() as group:
        pods = manager(group)
        pods.source_changed(None, old)
        pods.source_changed(old, new)
        assert [w.uid for w in begun] == ["a"] and begun[0].removed
        await ended(begun[0])
        assert [w.uid for w in begun] == ["a", "b"]
        await ended(begun[1])
