"""The storage contract, held by every backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from kdist.storage.etcd import EtcdStorage
from kdist.storage.interface import (
    Compacted,
    Event,
    KeyValue,
    Mismatch,
    Storage,
    Write,
    create,
    delete,
    guaranteed_update,
)


async def _next(events: AsyncIterator[Sequence[Event]]) -> Sequence[Event]:
    async with asyncio.timeout(5):
        return await anext(events)


async def test_created_value_is_read_back_with_its_revision(storage: Storage, root: str) -> None:
    revision = await create(storage, root + "a", b"1")
    assert await storage.get(root + "a") == KeyValue(root + "a", b"1", revision)
    assert await storage.get(root + "b") is None


async def test_large_values_side_by_side_are_read_back(storage: Storage, root: str) -> None:
    values = {root + name: name.encode() * 1_000_000 for name in "abcd"}
    await asyncio.gather(*(create(storage, key, value) for key, value in values.items()))
    page = await storage.list(root)
    assert {kv.key: kv.value for kv in page.items} == values


async def test_creating_an_existing_key_tells_what_is_there(storage: Storage, root: str) -> None:
    revision = await create(storage, root + "a", b"1")
    with pytest.raises(Mismatch) as refused:
        await create(storage, root + "a", b"2")
    assert refused.value.current == KeyValue(root + "a", b"1", revision)


async def test_every_commit_raises_the_revision_by_one(storage: Storage, root: str) -> None:
    first = await create(storage, root + "a", b"1")
    second = await storage.commit({}, puts={root + "b": b"2", root + "c": b"3"}, deletes=[root + "a"])
    assert second == first + 1 == await storage.current_revision()
    page = await storage.list(root)
    assert [(kv.key, kv.revision) for kv in page.items] == [(root + "b", second), (root + "c", second)]


async def test_a_failed_check_writes_nothing(storage: Storage, root: str) -> None:
    await create(storage, root + "a", b"1")
    with pytest.raises(Mismatch) as refused:
        await storage.commit({root + "b": 0, root + "a": 0}, puts={root + "b": b"2", root + "a": b"2"})
    assert refused.value.key == root + "a"
    assert await storage.get(root + "b") is None


async def test_delete_needs_the_right_revision(storage: Storage, root: str) -> None:
    revision = await create(storage, root + "a", b"1")
    with pytest.raises(Mismatch):
        await delete(storage, root + "a", revision - 1)
    await delete(storage, root + "a", revision)
    assert await storage.get(root + "a") is None


async def test_list_pages_in_key_order_and_counts_what_remains(storage: Storage, root: str) -> None:
    for name in "cabd":
        await create(storage, root + name, name.encode())
    page = await storage.list(root, limit=3)
    assert [kv.value for kv in page.items] == [b"a", b"b", b"c"]
    assert page.remaining == 1
    rest = await storage.list(root, start=root + "c\0", limit=3, revision=page.revision)
    assert [kv.value for kv in rest.items] == [b"d"]
    assert rest.remaining == 0


async def test_list_at_a_revision_sees_what_was_there(storage: Storage, root: str) -> None:
    first = await create(storage, root + "a", b"1")
    revision = await storage.commit({root + "a": first}, puts={root + "a": b"2", root + "b": b"1"})
    await storage.commit({}, deletes=[root + "a"])
    old = await storage.list(root, revision=first)
    assert [(kv.key, kv.value) for kv in old.items] == [(root + "a", b"1")]
    newer = await storage.list(root, revision=revision)
    assert [kv.value for kv in newer.items] == [b"2", b"1"]


async def test_watch_delivers_the_past_then_the_present(storage: Storage, root: str) -> None:
    first = await create(storage, root + "a", b"1")
    await storage.commit({root + "a": first}, puts={root + "a": b"2"})
    events = storage.watch(root, first)
    past = [event async for batch in _until(events, 2) for event in batch]
    assert [(e.value, e.revision) for e in past] == [(b"1", first), (b"2", first + 1)]
    await storage.commit({}, deletes=[root + "a"])
    assert await _next(events) == [Event(root + "a", None, first + 2)]


async def _until(events: AsyncIterator[Sequence[Event]], count: int) -> AsyncIterator[Sequence[Event]]:
    while count > 0:
        batch = await _next(events)
        count -= len(batch)
        yield batch


async def test_events_of_one_commit_come_together(storage: Storage, root: str) -> None:
    events = storage.watch(root, await storage.current_revision() + 1)
    await storage.commit({}, puts={root + "a": b"1", root + "b": b"2"})
    batch = await _next(events)
    assert {e.key for e in batch} == {root + "a", root + "b"}
    assert len({e.revision for e in batch}) == 1


async def test_watch_of_everything_sees_every_revision(storage: Storage, root: str) -> None:
    start = await storage.current_revision()
    events = storage.watch("", start + 1)
    await create(storage, root + "a", b"1")
    await create(storage, "elsewhere" + root, b"1")
    seen = [e.revision async for batch in _until(events, 2) for e in batch]
    assert seen == [start + 1, start + 2]


async def test_compacted_revisions_are_gone(storage: Storage, root: str) -> None:
    first = await create(storage, root + "a", b"1")
    second = await storage.commit({root + "a": first}, puts={root + "a": b"2"})
    await storage.compact(second)
    await storage.compact(second)
    with pytest.raises(Compacted):
        await storage.list(root, revision=first)
    with pytest.raises(Compacted):
        await _next(storage.watch(root, first))
    assert [kv.value for kv in (await storage.list(root, revision=second)).items] == [b"2"]


async def test_a_value_with_a_life_time_vanishes_with_an_event(storage: Storage, root: str) -> None:
    revision = await create(storage, root + "a", b"1", ttl=1)
    events = storage.watch(root, revision + 1)
    assert await _next(events) == [Event(root + "a", None, revision + 1)]


async def test_guaranteed_update_does_not_take_a_stale_state_for_the_wanted_one(
    storage: Storage, root: str
) -> None:
    first = await storage.commit({}, puts={root + "a": b"1"})
    await storage.commit({}, puts={root + "a": b"2"})

    async def back_to_one(current: KeyValue | None, fresh: bool) -> Write | None:
        assert current is not None
        return None if current.value == b"1" else Write(b"1")

    stale = KeyValue(root + "a", b"1", first)
    assert await guaranteed_update(storage, root + "a", back_to_one, cached=stale) is not None
    current = await storage.get(root + "a")
    assert current is not None and current.value == b"1"


async def test_guaranteed_update_wins_over_a_stale_start(storage: Storage, root: str) -> None:
    await create(storage, root + "a", b"1")
    await storage.commit({}, puts={root + "a": b"2"})
    stale = KeyValue(root + "a", b"1", 1)
    seen = []

    async def append(current: KeyValue | None, fresh: bool) -> Write:
        assert current is not None
        seen.append((current.value, fresh))
        return Write(current.value + b"!")

    await guaranteed_update(storage, root + "a", append, cached=stale)
    assert seen == [(b"1", False), (b"2", True)]
    current = await storage.get(root + "a")
    assert current is not None
    assert current.value == b"2!"


async def test_concurrent_increments_lose_nothing(storage: Storage, root: str) -> None:
    await create(storage, root + "n", b"0")

    async def increment(current: KeyValue | None, fresh: bool) -> Write:
        assert current is not None
        return Write(b"%d" % (int(current.value) + 1))

    await asyncio.gather(*(guaranteed_update(storage, root + "n", increment) for _ in range(20)))
    current = await storage.get(root + "n")
    assert current is not None
    assert current.value == b"20"


async def test_etcd_tells_how_large_its_database_is(storage: Storage, root: str) -> None:
    if isinstance(storage, EtcdStorage):
        before = await storage.size()
        await storage.commit({}, puts={f"{root}{at}": b"x" * 50_000 for at in range(10)})
        assert before > 0 and await storage.size() >= before
