"""Watches through the whole server."""

from __future__ import annotations

import itertools

from .conftest import Api

CMS = "/api/v1/namespaces/default/configmaps"


def named(event: dict) -> tuple[str, str]:  # type: ignore[type-arg]
    return event["type"], event["object"]["metadata"]["name"]


async def test_a_watch_without_version_begins_with_what_is_there(api: Api) -> None:
    await api.make(CMS, {"metadata": {"name": "a"}})
    async with api.stream(f"{CMS}?watch=1") as watch:
        assert named(await watch.event()) == ("ADDED", "a")
        await api("DELETE", f"{CMS}/a")
        assert named(await watch.event()) == ("DELETED", "a")


async def test_a_watch_goes_on_where_a_list_ended(api: Api) -> None:
    version = (await api("GET", CMS)).json["metadata"]["resourceVersion"]
    await api.make(CMS, {"metadata": {"name": "a"}})
    async with api.stream(f"{CMS}?watch=1&resourceVersion={version}") as watch:
        assert named(await watch.event()) == ("ADDED", "a")


async def test_initial_events_end_with_a_marked_bookmark(api: Api) -> None:
    await api.make(CMS, {"metadata": {"name": "a"}})
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with api.stream(f"{CMS}?{query}") as watch:
        assert named(await watch.event()) == ("ADDED", "a")
        bookmark = await watch.event()
        assert bookmark["type"] == "BOOKMARK"
        assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_version_from_before_the_window_is_expired(api: Api) -> None:
    async with api.stream(f"{CMS}?watch=1&resourceVersion=1") as watch:
        event = await watch.event()
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == (
            "ERROR",
            410,
            "Expired",
        )
        assert await watch.event() is None


async def test_a_timeout_ends_the_watch_with_a_bookmark(api: Api) -> None:
    version = (await api("GET", CMS)).json["metadata"]["resourceVersion"]
    query = f"watch=1&resourceVersion={version}&timeoutSeconds=1&allowWatchBookmarks=true"
    async with api.stream(f"{CMS}?{query}") as watch:
        assert (await watch.event())["type"] == "BOOKMARK"
        assert await watch.event() is None


async def test_stopping_the_server_ends_its_watches(api: Api) -> None:
    async with api.stream(f"{CMS}?watch=1") as watch:
        await api.make(CMS, {"metadata": {"name": "a"}})
        assert named(await watch.event()) == ("ADDED", "a")
        await api.server.stop()
        assert await watch.event() is None


async def test_a_table_watch_sends_its_columns_once(api: Api) -> None:
    table = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    async with api.stream(f"{CMS}?watch=1", table) as watch:
        for name in "ab":
            await api.make(CMS, {"metadata": {"name": name}})
        first, second = await watch.event(), await watch.event()
        assert first["object"]["columnDefinitions"]
        assert not second["object"]["columnDefinitions"]


async def test_changes_are_pushed_to_clients_that_keep_up(api: Api) -> None:
    async with api.stream(f"{CMS}?watch=1&resourceVersion=0") as watch:
        await watch.next()
        await api.make(CMS, {"metadata": {"name": "a"}})
        assert named(await watch.event()) == ("ADDED", "a")
        assert watch.pushed == 1


async def test_a_client_that_does_not_keep_up_misses_nothing(api: Api) -> None:
    async with api.stream(f"{CMS}?watch=1&resourceVersion=0") as watch:
        await watch.next()
        watch.willing = itertools.cycle([False, True])
        for number in range(6):
            await api.make(CMS, {"metadata": {"name": f"n{number}"}})
        seen = [named(await watch.event()) for _ in range(6)]
    assert seen == [("ADDED", f"n{number}") for number in range(6)]
