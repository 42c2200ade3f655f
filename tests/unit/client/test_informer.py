"""The informer against a scripted server: what handlers are told, and from where the watch goes on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kdist.api import meta
from kdist.api.errors import Expired
from kdist.api.kinds import PODS
from kdist.api.meta import Obj
from kdist.client import informer as module
from kdist.client.informer import Informer
from kdist.client.rest import ObjList, Unreachable, WatchEvent


def pod(name: str, version: int, **labels: str) -> Obj:
    return {
        "metadata": {"name": name, "namespace": "ns", "resourceVersion": str(version), "labels": labels},
    }


class ScriptedServer:
    """Answers lists and watches from scripts; a watch script is events, then an error or a silence."""

    def __init__(self, lists: list[ObjList], watches: list[list[WatchEvent | Exception]]) -> None:
        self.lists, self.watches = lists, watches
        self.watched_from: list[str] = []
        self.exhausted = asyncio.Event()

    async def list(self, *_: Any, **__: Any) -> ObjList:
        return self.lists.pop(0)

    async def watch(self, *_: Any, resource_version: str, **__: Any) -> AsyncIterator[WatchEvent]:
        self.watched_from.append(resource_version)
        if not self.watches:
            self.exhausted.set()
            await asyncio.Event().wait()
        for step in self.watches.pop(0):
            if isinstance(step, Exception):
                raise step
            yield step


async def follow(server: ScriptedServer) -> tuple[Informer, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    informer = Informer(server, PODS, indexers={"app": lambda o: meta.labels(o).values()})  # type: ignore[arg-type]

    def handler(old: Obj | None, new: Obj | None) -> None:
        what = "added" if old is None else "deleted" if new is None else "changed"
        told.append((what, meta.name(new or old or {})))

    informer.add_handler(handler)
    task = asyncio.create_task(informer.run())
    await server.exhausted.wait()
    task.cancel()
    return informer, told


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Backoff, "next", lambda self: 0.0)


async def test_changes_reach_handlers_and_indices() -> None:
    events: list[WatchEvent | Exception] = [
        WatchEvent("MODIFIED", pod("a", 11, app="y")),
        WatchEvent("ADDED", pod("b", 12, app="y")),
        WatchEvent("DELETED", pod("a", 13, app="y")),
        WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": "20"}}),
    ]
    server = ScriptedServer([ObjList([pod("a", 1, app="x")], "10")], [events])
    informer, told = await follow(server)
    assert told == [("added", "a"), ("changed", "a"), ("added", "b"), ("deleted", "a")]
    assert [meta.name(o) for o in informer.by_index("app", "y")] == ["b"]
    assert informer.by_index("app", "x") == []
    assert server.watched_from == ["10", "20"], "the bookmark tells where to go on"


async def test_a_broken_connection_resumes_without_listing_again() -> None:
    server = ScriptedServer(
        [ObjList([], "10")], [[WatchEvent("ADDED", pod("a", 11)), Unreachable("reset")], []]
    )
    _, told = await follow(server)
    assert told == [("added", "a")]
    assert server.watched_from == ["10", "11", "11"]


async def test_after_410_what_vanished_meanwhile_is_told_as_deleted() -> None:
    server = ScriptedServer(
        [ObjList([pod("a", 1), pod("b", 2)], "10"), ObjList([pod("b", 2), pod("c", 30)], "40")],
        [[Expired("too old")]],
    )
    informer, told = await follow(server)
    assert told == [("added", "a"), ("added", "b"), ("added", "c"), ("deleted", "a")]
    assert {meta.name(o) for o in informer.list("ns")} == {"b", "c"}
    assert server.watched_from == ["10", "40"]


async def test_a_list_comes_in_pages() -> None:
    server = ScriptedServer([ObjList([pod("a", 1)], "10", "more"), ObjList([pod("b", 2)], "10")], [])
    informer, _ = await follow(server)
    assert {meta.name(o) for o in informer.list()} == {"a", "b"}


async def test_a_failing_handler_does_not_blind_the_others() -> None:
    server = ScriptedServer([ObjList([pod("a", 1)], "10")], [])
    informer = Informer(server, PODS)  # type: ignore[arg-type]
    seen: list[str] = []

    def broken(old: Obj | None, new: Obj | None) -> None:
        raise KeyError("defect")

    informer.add_handler(broken)
    informer.add_handler(lambda _, new: seen.append(meta.name(new or {})))
    task = asyncio.create_task(informer.run())
    await server.exhausted.wait()
    task.cancel()
    assert seen == ["a"]
