"""What happens around a decision: binding, failing, explaining, evicting, waiting for volumes."""

import asyncio

import pytest

from kdist.api.errors import Conflict, NotFound
from kdist.api.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from kdist.scheduler.cache import Cache
from kdist.scheduler.framework import BindingFailed, Framework
from kdist.scheduler.handlers import Handlers
from kdist.scheduler.listers import Listers
from kdist.scheduler.loop import Scheduler
from kdist.scheduler.plugins import default_plugins
from kdist.scheduler.preemption import Preemptor
from kdist.scheduler.queue import Place, SchedulingQueue
from kdist.scheduler.volumes import SELECTED_NODE, ClaimBinder, Decision


class Stored(dict):
    def list(self, namespace=None):
        return list(self.values())


class Stores(dict):
    def __missing__(self, kind):
        return self.setdefault(kind, Stored())


class Writer:
    def __init__(self):
        self.errors, self.did = [], []

    async def bind(self, pod, node):
        if self.errors:
            raise self.errors.pop(0)
        self.did.append(("bind", pod.name, node))

    async def explain(self, pod, reason, message, nominated):
        self.did.append(("explain", pod.name, nominated))

    async def evict(self, victim, by, node):
        self.did.append(("evict", victim.name, by.name))

    def event(self, obj, type, reason, message):
        self.did.append(("event", obj["metadata"]["name"], reason))


class World:
    def __init__(self):
        cache, listers = Cache(), Listers(Stores())
        self.cache, self.queue, self.writer = cache, SchedulingQueue(), Writer()
        framework = Framework(cache, default_plugins(cache, listers))
        preemptor = Preemptor(cache, framework, listers)
        self.scheduler = Scheduler(cache, self.queue, framework, preemptor, self.writer)
        self.tell = Handlers(cache, self.queue, None, "default-scheduler")

    async def run(self):
        """Until nothing happens any more."""
        task = asyncio.create_task(self.scheduler.run())
        for _ in range(30):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def world():
    world = World()
    world.tell.node(None, {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "1", "pods": "9"}}})
    return world


def pod(name, cpu="600m", node="", priority=0, **metadata):
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}}}
    spec = {"containers": [container], "nodeName": node, "priority": priority}
    return {"metadata": {"name": name, "namespace": "ns", "uid": name, **metadata}, "spec": spec}


async def test_a_pod_is_bound_and_told_about(world):
    world.tell.pod(None, pod("p"))
    await world.run()
    assert world.writer.did == [("bind", "p", "n"), ("event", "p", "Scheduled")]
    assert "p" not in world.queue
    assert world.cache.is_assumed("p")
    world.tell.pod(pod("p"), pod("p", node="n"))
    assert not world.cache.is_assumed("p")
    assert len(world.cache) == 1


async def test_a_failed_binding_gives_the_room_back_and_is_tried_again(world):
    world.writer.errors = [Conflict("somebody else was quicker")]
    world.tell.pod(None, pod("p"))
    await world.run()
    assert len(world.cache) == 0
    assert world.queue.sizes()[Place.BACKOFF] == 1


async def test_a_pod_deleted_while_it_is_bound_is_forgotten(world):
    world.writer.errors = [NotFound('pods "p" not found')]
    world.tell.pod(None, pod("p"))
    queued = asyncio.create_task(world.scheduler.run())
    await asyncio.sleep(0)
    world.tell.pod(pod("p"), None)
    for _ in range(10):
        await asyncio.sleep(0)
    queued.cancel()
    await asyncio.gather(queued, return_exceptions=True)
    assert len(world.cache) == 0
    assert not any(world.queue.sizes().values())


async def test_an_important_pod_evicts_and_gets_the_room(world):
    world.tell.pod(None, pod("lesser", node="n"))
    world.tell.pod(None, pod("vital", priority=10))
    await world.run()
    assert ("explain", "vital", "n") in world.writer.did
    assert ("evict", "lesser", "vital") in world.writer.did
    world.tell.pod(pod("lesser", node="n"), None)
    assert world.queue.sizes()[Place.UNSCHEDULABLE] == 0


async def test_finished_and_foreign_pods_are_left_alone(world):
    foreign = pod("foreign")
    foreign["spec"]["schedulerName"] = "another"
    world.tell.pod(None, foreign)
    world.tell.pod(None, pod("done", node="n"))
    world.tell.pod(pod("done", node="n"), {**pod("done", node="n"), "status": {"phase": "Succeeded"}})
    world.tell.pod(None, pod("dying", deletionTimestamp="2026-01-01T00:00:00Z"))
    await world.run()
    assert world.writer.did == []
    assert len(world.cache) == 0


class VolumeApi:
    def __init__(self):
        self.did = []

    async def patch(self, kind, name, body, namespace):
        self.did.append((name, body["metadata"]["annotations"]))
        return {"metadata": {"resourceVersion": "7"}}

    async def update(self, kind, obj):
        self.did.append((obj["metadata"]["name"], obj["spec"]["claimRef"]["name"]))


def claim(version, annotations=(), **spec):
    metadata = {"name": "c", "namespace": "ns", "uid": "c", "resourceVersion": version}
    return {"metadata": {**metadata, "annotations": dict(annotations)}, "spec": spec}


NODE = {"metadata": {"name": "n", "labels": {}}}


async def test_binding_waits_until_the_provisioner_has_made_the_volume():
    stores, api = Stores(), VolumeApi()
    binder = ClaimBinder(api, Listers(stores))
    stores[PERSISTENT_VOLUME_CLAIMS]["ns/c"] = claim("5")
    binding = asyncio.create_task(binder.bind(Decision(provision=[claim("5")]), NODE))
    await asyncio.sleep(0)
    assert api.did == [("c", {SELECTED_NODE: "n"})]
    bound = {SELECTED_NODE: "n", "pv.kubernetes.io/bind-completed": "yes"}
    stores[PERSISTENT_VOLUME_CLAIMS]["ns/c"] = claim("8", bound, volumeName="pv")
    stores[PERSISTENT_VOLUMES]["pv"] = {"metadata": {"name": "pv"}, "spec": {}}
    binder.notify()
    await binding


async def test_a_provisioner_that_gives_up_has_the_pod_placed_anew():
    stores = Stores()
    binder = ClaimBinder(VolumeApi(), Listers(stores))
    stores[PERSISTENT_VOLUME_CLAIMS]["ns/c"] = claim("9")
    with pytest.raises(BindingFailed, match="gave up"):
        await binder.bind(Decision(provision=[claim("5")]), NODE)


async def test_a_free_volume_is_promised_to_its_claim():
    stores, api = Stores(), VolumeApi()
    binder = ClaimBinder(api, Listers(stores), seconds=0.0)
    stores[PERSISTENT_VOLUME_CLAIMS]["ns/c"] = claim("5")
    volume = {"metadata": {"name": "pv"}, "spec": {}}
    with pytest.raises(BindingFailed, match="timed out"):
        await binder.bind(Decision(static=[(claim("5"), volume)]), NODE)
    assert api.did == [("pv", "c")]
