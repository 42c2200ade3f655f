import pytest

from kdist.client.clock import VirtualClock
from kdist.client.workqueue import ShutDown, WorkQueue


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def queue(clock: VirtualClock) -> WorkQueue:
    return WorkQueue(clock=clock)


async def test_a_key_waits_only_once(queue: WorkQueue) -> None:
    queue.add("a")
    queue.add("a")
    queue.add("b")
    assert [await queue.get(), await queue.get(), len(queue)] == ["a", "b", 0]


async def test_a_key_added_during_work_comes_again_when_that_is_done(queue: WorkQueue) -> None:
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    assert len(queue) == 0, "two workers must never hold the same key"
    queue.done(key)
    assert await queue.get() == "a"


async def test_of_two_delays_the_shorter_counts(queue: WorkQueue, clock: VirtualClock) -> None:
    queue.add_after("a", 60)
    queue.add_after("a", 5)
    queue.add_after("a", 30)
    clock.advance(4.9)
    assert len(queue) == 0
    clock.advance(0.1)
    assert len(queue) == 1
    clock.advance(100)
    assert len(queue) == 1


async def test_failures_wait_twice_as_long_each_time_until_forgotten(
    queue: WorkQueue, clock: VirtualClock
) -> None:
    async def wait() -> float:
        before = clock.time()
        queue.add_rate_limited("a")
        while not len(queue):
            clock.advance(0.001)
        queue.done(await queue.get())
        return round(clock.time() - before, 3)

    assert [await wait() for _ in range(4)] == [0.005, 0.01, 0.02, 0.04]
    queue.forget("a")
    assert await wait() == 0.005


async def test_many_failing_keys_share_ten_retries_a_second(queue: WorkQueue, clock: VirtualClock) -> None:
    for number in range(120):
        queue.add_rate_limited(str(number))
    clock.advance(0.5)
    assert len(queue) == 105  # the burst of 100, then 10 a second
    clock.advance(1.5)
    assert len(queue) == 120


async def test_a_shut_down_queue_hands_out_what_waits_and_then_ends(queue: WorkQueue) -> None:
    queue.add("a")
    queue.add_after("b", 5)
    queue.shut_down()
    queue.add("c")
    assert await queue.get() == "a"
    with pytest.raises(ShutDown):
        await queue.get()
