"""The watch cache and the hub that feeds it, on the in-process store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from kdist.storage import body as bodies
from kdist.storage.hub import Hub
from kdist.storage.interface import Compacted, Event
from kdist.storage.memory import MemoryStorage
from kdist.storage.watchcache import Change, WatchCache, Watcher

PREFIX = "/registry/pods/"


def pod(name: str, namespace: str = "ns", **labels: str) -> bytes:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": labels}
    return bodies.encode({"metadata": metadata, "kind": "Pod", "apiVersion": "v1", "spec": {}})


def fields(obj: dict[str, Any]) -> dict[str, str]:
    return {"metadata.name": obj["metadata"]["name"]}


def cache_with(*names: str) -> WatchCache:
    cache = WatchCache(PREFIX, fields)
    cache.load([], 10)
    for at, name in enumerate(names):
        cache.apply([Event(f"{PREFIX}ns/{name}", pod(name), 11 + at)])
    return cache


def seen(watcher: Watcher) -> list[tuple[str, str]]:
    return [(kind, orjson.loads(change.body(kind))["metadata"]["name"]) for kind, change in watcher.take()]


def names(entries: Any) -> list[str]:
    return [entry.key.rpartition("/")[2] for entry in entries]


def test_a_body_gets_its_revision_without_being_decoded() -> None:
    body = bodies.with_revision(pod("a"), 7)
    assert orjson.loads(body)["metadata"]["resourceVersion"] == "7"
    assert orjson.loads(bodies.at_revision(body, 8))["metadata"]["resourceVersion"] == "8"


def test_a_value_written_by_another_hand_is_brought_into_order() -> None:
    odd = b'{"metadata": {"name": "a", "resourceVersion": "1"}, "apiVersion": "v1", "kind": "Pod"}'
    assert orjson.loads(bodies.with_revision(odd, 7))["metadata"] == {"name": "a", "resourceVersion": "7"}


def test_entries_are_listed_by_namespace_and_in_key_order() -> None:
    cache = cache_with("b", "a")
    cache.apply([Event(f"{PREFIX}ns2/c", pod("c", "ns2"), 20)])
    assert names(cache.entries()) == ["a", "b", "c"]
    assert names(cache.entries("ns/")) == ["a", "b"]
    assert names(cache.entries("ns/", after=f"{PREFIX}ns/a")) == ["b"]


def test_the_past_is_reconstructed_from_the_window() -> None:
    cache = cache_with("a", "b")
    cache.apply([Event(f"{PREFIX}ns/a", None, 13)])
    assert names(cache.entries_at(12)) == ["a", "b"]
    assert names(cache.entries_at(11)) == ["a"]
    with pytest.raises(Compacted):
        cache.entries_at(9)


def test_a_watcher_sees_objects_come_change_and_go() -> None:
    cache = cache_with()
    watcher = cache.watch("", None, since=10)
    cache.apply([Event(f"{PREFIX}ns/a", pod("a"), 11)])
    cache.apply([Event(f"{PREFIX}ns/a", pod("a", x="1"), 12), Event(f"{PREFIX}ns/a", None, 13)])
    assert seen(watcher) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_a_deleted_object_carries_the_revision_of_its_deletion() -> None:
    cache = cache_with("a")
    watcher = cache.watch("ns/a", None, since=None)
    cache.apply([Event(f"{PREFIX}ns/a", None, 40)])
    [(kind, change)] = watcher.take()
    assert orjson.loads(change.frame(kind))["object"]["metadata"]["resourceVersion"] == "40"


def test_an_object_that_stops_matching_is_deleted_for_the_watcher() -> None:
    cache = cache_with()
    watcher = cache.watch("", lambda entry: entry.labels.get("app") == "web", since=None)
    for at, labels in enumerate(({"app": "web"}, {"app": "db"}, {"app": "db", "x": "1"}, {"app": "web"})):
        cache.apply([Event(f"{PREFIX}ns/a", pod("a", **labels), 11 + at)])
    assert [kind for kind, _ in watcher.take()] == ["ADDED", "DELETED", "ADDED"]


def test_a_watcher_of_one_object_hears_nothing_of_its_namesakes() -> None:
    cache = cache_with("a", "ab")
    watcher = cache.watch("ns/a", None, since=10)
    cache.apply([Event(f"{PREFIX}ns/ab", None, 20)])
    assert seen(watcher) == [("ADDED", "a")]


def test_a_watch_from_before_the_window_is_refused() -> None:
    with pytest.raises(Compacted):
        cache_with("a").watch("", None, since=9)


def test_a_reload_tells_listeners_the_difference_and_ends_watches() -> None:
    cache = cache_with("a", "b")
    heard: list[Change] = []
    cache.listen(heard.append)
    watcher = cache.watch("", None, since=None)
    heard.clear()
    kept = next(iter(cache.entries()))
    assert kept.key.endswith("/a")
    cache.load([], 50)
    assert {c.key[-1] for c in heard} == {"a", "b"}
    assert all(c.after is None for c in heard)
    assert isinstance(watcher.error, Compacted)


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    hub = Hub(MemoryStorage())
    task = asyncio.create_task(hub.run())
    await hub.started()
    yield hub
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_fresh_cache_shows_what_was_just_written(hub: Hub) -> None:
    cache = await hub.cache(PREFIX, fields)
    await hub.storage.commit({}, puts={f"{PREFIX}ns/a": pod("a")})
    await hub.fresh()
    assert names(cache.entries()) == ["a"]
    assert cache.revision == await hub.storage.current_revision()


async def test_a_cache_loaded_late_misses_nothing_and_repeats_nothing(hub: Hub) -> None:
    await hub.storage.commit({}, puts={f"{PREFIX}ns/a": pod("a")})
    cache = await hub.cache(PREFIX, fields)
    watcher = cache.watch("", None, since=None)
    await hub.storage.commit({}, puts={f"{PREFIX}ns/b": pod("b")})
    await hub.fresh()
    assert names(cache.entries()) == ["a", "b"]
    assert seen(watcher) == [("ADDED", "b")]


async def test_longer_prefixes_win_and_strangers_are_ignored(hub: Hub) -> None:
    specs = await hub.cache("/registry/services/specs/", fields)
    await hub.storage.commit(
        {}, puts={"/registry/services/specs/ns/a": pod("a"), "/registry/other/x": b"{}", "elsewhere": b"?"}
    )
    await hub.fresh()
    assert names(specs.entries()) == ["a"]


async def test_waiting_for_a_revision_that_does_not_come_times_out(hub: Hub) -> None:
    with pytest.raises(TimeoutError):
        await hub.reach(hub.revision + 1, timeout=0.01)


def test_a_watch_from_a_revision_to_come_shows_nothing_older() -> None:
    cache = cache_with("a")
    watcher = cache.watch("", None, since=20)
    for revision in (15, 20, 21):
        cache.apply([Event(f"{PREFIX}ns/r{revision}", pod(f"r{revision}"), revision)])
    assert seen(watcher) == [("ADDED", "r21")]
