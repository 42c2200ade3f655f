"""In which order, and how soon again, pods are tried."""

import asyncio

import pytest

from kdist.scheduler.events import NODE_ADD, POD_GONE, STORAGE_CHANGE
from kdist.scheduler.podinfo import PodInfo
from kdist.scheduler.queue import Place, SchedulingQueue


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(clock):
    return SchedulingQueue(clock)


def pod(name, priority=0, **spec):
    metadata = {"name": name, "namespace": "ns", "uid": name}
    return PodInfo.parse({"metadata": metadata, "spec": {"priority": priority, "containers": [], **spec}})


async def names(queue, count):
    return [(await queue.pop()).pod.name for _ in range(count)]


def is_idle(queue):
    return queue.sizes()[Place.ACTIVE] == 0


async def test_priority_first_then_age(queue, clock):
    for name, priority in (("old", 0), ("high", 5), ("young", 0)):
        queue.add(pod(name, priority))
        clock.now += 1
    assert await names(queue, 3) == ["high", "old", "young"]


async def test_a_hopeless_pod_waits_for_an_event_that_may_help(queue, clock):
    queue.add(pod("p"))
    queued = await queue.pop()
    queue.unschedulable(queued, frozenset({"NodeResourcesFit"}))
    clock.now = 5.0
    queue.move(STORAGE_CHANGE)
    assert queue.sizes()[Place.UNSCHEDULABLE] == 1
    queue.move(POD_GONE)
    assert await names(queue, 1) == ["p"]


async def test_back_off_doubles_and_ends(queue, clock):
    queue.add(pod("p"))
    waits = []
    for _ in range(6):
        queued = await queue.pop()
        waits.append(queued.backoff)
        queue.unschedulable(queued, frozenset())
        queue.move(NODE_ADD)
        assert queue.sizes()[Place.BACKOFF] == 1
        clock.now += queued.backoff
    assert waits == [1, 2, 4, 8, 10, 10]


async def test_nothing_waits_for_ever(queue, clock):
    queue.add(pod("p"))
    queue.unschedulable(await queue.pop(), frozenset({"NodeAffinity"}))
    clock.now = 301
    assert await names(queue, 1) == ["p"]


async def test_gates_keep_a_pod_aside_until_they_are_gone(queue):
    queue.add(pod("p", schedulingGates=[{"name": "wait"}]))
    assert queue.sizes()[Place.GATED] == 1
    queue.add(pod("p"))
    assert await names(queue, 1) == ["p"]


async def test_a_changed_pod_is_tried_again_but_its_own_status_is_no_change(queue, clock):
    queue.add(pod("p"))
    queue.unschedulable(await queue.pop(), frozenset({"NodeAffinity"}))
    clock.now = 20
    queue.add(pod("p"))
    assert queue.sizes()[Place.UNSCHEDULABLE] == 1
    queue.add(pod("p", nodeSelector={"a": "b"}))
    assert await names(queue, 1) == ["p"]


async def test_a_removed_pod_is_never_popped_and_never_comes_back(queue):
    queue.add(pod("gone"))
    queue.add(pod("there"))
    queue.remove("gone")
    queued = await queue.pop()
    assert queued.pod.name == "there"
    queue.remove("there")
    queue.back_off(queued)
    assert "there" not in queue
    assert is_idle(queue)


async def test_pop_waits_for_a_pod(queue):
    waiting = asyncio.create_task(queue.pop())
    await asyncio.sleep(0)
    queue.add(pod("late"))
    assert (await waiting).pod.name == "late"
