"""Reads answer as upstream's server does: versions, pages, selectors, forms. Compared with 1.32.13."""

from __future__ import annotations

import base64
import gzip
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import yaml

from .conftest import Api

CMS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
LIST_METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


@pytest.fixture
async def maps(api: Api) -> AsyncIterator[Api]:
    for number in range(6):
        labels = {"app": "ab"[number % 2], "n": str(number)}
        await api.make(CMS, {"metadata": {"name": f"cm-{number}", "labels": labels}})
    yield api


def names(answer: Any) -> list[str]:
    assert answer.status == 200, answer.body
    return [item["metadata"]["name"] for item in answer.json["items"]]


def token(**fields: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(fields)).decode().rstrip("=")


V1 = "meta.k8s.io/v1"


@pytest.mark.parametrize(
    ("query", "code", "told"),
    [
        ("limit=abc", 400, 'strconv.ParseInt: parsing "abc": invalid syntax'),
        ("limit=9" + "9" * 19, 400, f'strconv.ParseInt: parsing "9{"9" * 19}": value out of range'),
        ("timeoutSeconds=abc", 400, 'strconv.ParseInt: parsing "abc": invalid syntax'),
        ("timeout=abc", 400, 'invalid timeout specified in the request URL - time: invalid duration "abc"'),
        (
            "timeout=5",
            400,
            'invalid timeout specified in the request URL - time: missing unit in duration "5"',
        ),
        ("resourceVersionMatch=Exact", 422, "resourceVersionMatch is forbidden unless resourceVersion"),
        ("resourceVersionMatch=Exact&resourceVersion=0", 422, '"exact" is forbidden for resourceVersion "0"'),
        ("resourceVersionMatch=Exact&continue=x", 422, "is forbidden when continue is provided"),
        ("resourceVersionMatch=x&resourceVersion=1", 422, 'supported values: "Exact", "NotOlderThan", ""'),
        ("sendInitialEvents=true", 422, "sendInitialEvents is forbidden for list"),
        ("watch=1&sendInitialEvents=true", 422, "requires setting resourceVersionMatch to NotOlderThan"),
        ("watch=1&resourceVersionMatch=NotOlderThan", 422, "unless sendInitialEvents is provided"),
        ("continue=%21", 400, "invalid continue token: continue key is not valid"),
        (f"continue={token(v=V1, rv=0, start='a')}", 400, "incorrect encoded start resourceVersion"),
        (f"continue={token(v=V1, rv=5, start='')}", 400, "encoded start key empty"),
        (f"continue={token(v='x', rv=5, start='a')}", 400, "does not recognize this encoded version x"),
        (f"continue={token(v=V1, rv=5, start='../a')}", 400, "continue key is not valid: ../a"),
        ("labelSelector=a%20in", 400, "unable to parse requirement: found '' expected: '('"),
        ("labelSelector=a%20in%20(b", 400, "unable to parse requirement: found '', expected: ',' or ')'"),
        ("labelSelector=a=b=c", 400, "found '=', expected: ',' or 'end of string'"),
        ("labelSelector=a=b,", 400, "found '', expected: identifier after ','"),
        ("labelSelector=,", 400, "found ',', expected: !, identifier, or 'end of string'"),
        ("labelSelector=!", 400, "unable to parse requirement: found '', expected: identifier"),
        ("labelSelector=a%20b", 400, "found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("labelSelector=@", 400, 'unable to parse requirement: <nil>: Invalid value: "@": name part must'),
        ("labelSelector=a=@", 400, 'unable to parse requirement: values[0][a]: Invalid value: "@": a valid'),
        ("labelSelector=a%3Eb", 400, "for 'Gt', 'Lt' operators, the value must be an integer"),
        ("fieldSelector=a", 400, "invalid selector: 'a'; can't understand 'a'"),
        ("fieldSelector=metadata.name=a=b", 400, "invalid field selector: unescaped character in value: 61"),
        ("fieldSelector=metadata.name=%5Cx", 400, "invalid field selector: invalid escape sequence: \\x"),
        ("fieldSelector=x=y", 400, '"x" is not a known field selector: only "metadata.name", "metadata.name'),
    ],
)
async def test_a_list_that_cannot_be_understood_is_refused_with_the_reason(
    api: Api, query: str, code: int, told: str
) -> None:
    answer = await api("GET", f"{CMS}?{query}")
    assert answer.status == code
    assert told in answer.json["message"]


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("app=a", "024"),
        ("app==a,n!=2", "04"),
        ("app in (a,c)", "024"),
        ("app notin (a)", "135"),
        ("app in ()", ""),
        ("n in (1,,2)", "12"),
        ("!app", ""),
        ("in", ""),
        ("n>2,n<5", "34"),
        ("app=", ""),
        ("nope=", ""),
        ("nope!=x", "012345"),
    ],
)
async def test_label_selectors(maps: Api, selector: str, chosen: str) -> None:
    answer = await maps("GET", f"{CMS}?labelSelector={quote(selector)}")
    assert names(answer) == [f"cm-{n}" for n in chosen]


async def test_a_list_does_not_repeat_its_kind_in_every_object(maps: Api) -> None:
    answer = await maps("GET", f"{CMS}?limit=2")
    assert [item.keys() & {"kind", "apiVersion"} for item in answer.json["items"]] == [set(), set()]
    pretty = await maps("GET", f"{CMS}?limit=2&pretty=1")
    assert pretty.json["items"] == answer.json["items"]


async def test_pages_lead_through_everything_and_tell_how_much_is_left(maps: Api) -> None:
    page = (await maps("GET", f"{CMS}?limit=4")).json
    assert page["metadata"]["remainingItemCount"] == 2
    rest = await maps("GET", f"{CMS}?limit=4&continue={page['metadata']['continue']}")
    assert names(rest) == ["cm-4", "cm-5"]
    assert rest.json["metadata"] == {"resourceVersion": page["metadata"]["resourceVersion"]}


async def test_a_limit_does_not_hold_where_any_version_will_do(maps: Api) -> None:
    assert len(names(await maps("GET", f"{CMS}?limit=2&resourceVersion=0"))) == 6
    assert len(names(await maps("GET", f"{CMS}?limit=-1"))) == 6


async def test_a_token_of_another_server_is_understood(maps: Api) -> None:
    newest = token(v=V1, rv=-1, start="cm-2\0")
    assert names(await maps("GET", f"{CMS}?continue={newest}&limit=2")) == ["cm-3", "cm-4"]


async def test_an_expired_token_comes_with_one_that_goes_on_inconsistently(maps: Api) -> None:
    page = (await maps("GET", f"{CMS}?limit=2")).json["metadata"]
    for number in (7, 8):
        await maps.make(CMS, {"metadata": {"name": f"cm-{number}"}})
    storage = maps.server.core.storage
    await storage.compact(await storage.current_revision())
    cache = await maps.server.core.hub.cache("/registry/configmaps/", lambda obj: {})
    cache.load([kv async for kv in _all(maps)], await storage.current_revision())
    expired = await maps("GET", f"{CMS}?limit=9&continue={page['continue']}")
    assert (expired.status, expired.json["reason"]) == (410, "Expired")
    goes_on = expired.json["metadata"]["continue"]
    rest = await maps("GET", f"{CMS}?limit=9&continue={goes_on}")
    assert names(rest) == ["cm-2", "cm-3", "cm-4", "cm-5", "cm-7", "cm-8"]
    assert rest.json["metadata"]["resourceVersion"] != page["resourceVersion"]


async def _all(api: Api) -> AsyncIterator[Any]:
    for kv in (await api.server.core.storage.list("/registry/configmaps/")).items:
        yield kv


@pytest.mark.parametrize(
    ("accept", "status", "content_type"),
    [
        ("*/*", 200, "application/json"),
        ("application/yaml", 200, "application/yaml"),
        ("application/json;q=0.5,application/yaml", 200, "application/yaml"),
        ("text/html,application/json;q=0.9", 200, "application/json"),
        ("application/json;stream=watch", 200, "application/json"),
        ("application/yaml;stream=watch", 406, "application/json"),
        ("application/*", 406, "application/json"),
        ("text/plain", 406, "application/json"),
        ("application/json;as=Table;v=v2;g=meta.k8s.io", 406, "application/json"),
        ("application/json;as=Table", 406, "application/json"),
        ("application/json;as=Table;v=v2;g=meta.k8s.io,application/json", 200, "application/json"),
        (LIST_METADATA, 406, "application/json"),
    ],
)
async def test_one_object_in_the_form_that_is_accepted(
    maps: Api, accept: str, status: int, content_type: str
) -> None:
    answer = await maps("GET", f"{CMS}/cm-1", headers={"accept": accept})
    assert (answer.status, answer.headers["content-type"]) == (status, content_type)


async def test_a_form_that_cannot_be_served_is_told_before_what_is_missing(api: Api) -> None:
    answer = await api("GET", f"{CMS}/nope", headers={"accept": "text/plain"})
    assert (answer.status, answer.json["details"]) == (406, {})


async def test_an_error_is_told_in_yaml_to_who_wants_yaml(api: Api) -> None:
    answer = await api("GET", f"{CMS}/nope", headers={"accept": "application/yaml"})
    assert (answer.status, yaml.safe_load(answer.body)["reason"]) == (404, "NotFound")


async def test_a_list_is_not_one_objects_metadata(maps: Api) -> None:
    answer = await maps("GET", CMS, headers={"accept": METADATA})
    assert answer.status == 406
    assert answer.json["message"] == (
        "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"
    )


async def test_the_older_version_of_tables_is_served(maps: Api) -> None:
    accept = TABLE.replace("v=v1;", "v=v1beta1;")
    table = (await maps("GET", f"{CMS}/cm-1", headers={"accept": accept})).json
    assert {table["apiVersion"], table["rows"][0]["object"]["apiVersion"]} == {"meta.k8s.io/v1beta1"}


async def test_a_table_with_unknown_objects_is_refused(maps: Api) -> None:
    answer = await maps("GET", f"{CMS}?includeObject=Foo", headers={"accept": TABLE})
    assert (answer.status, answer.json["reason"]) == (400, "BadRequest")


async def test_head_is_no_verb_of_a_resource(maps: Api) -> None:
    assert (await maps("HEAD", f"{CMS}/cm-1")).status == 405


async def test_a_long_list_is_compressed_for_who_takes_gzip(api: Api) -> None:
    for number in range(20):
        await api.make(CMS, {"metadata": {"name": f"big-{number:02}"}, "data": {"x": "y" * 10_000}})
    plain = await api("GET", f"{CMS}?resourceVersion=0")
    packed = await api("GET", f"{CMS}?resourceVersion=0", headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    selected = await api("GET", f"{CMS}?labelSelector=!x", headers={"accept-encoding": "deflate, gzip"})
    assert gzip.decompress(selected.body) == plain.body


async def test_a_watch_of_no_version_ends_its_beginning_with_the_annotated_bookmark(maps: Api) -> None:
    query = "watch=1&resourceVersion=0&allowWatchBookmarks=1&fieldSelector=metadata.name=cm-1"
    async with maps.stream(f"{CMS}?{query}") as watch:
        assert (await watch.event())["type"] == "ADDED"
        bookmark = (await watch.event())["object"]["metadata"]["annotations"]
        assert bookmark == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_that_wants_no_beginning_gets_none(maps: Api) -> None:
    query = "watch=1&resourceVersion=0&sendInitialEvents=false&resourceVersionMatch=NotOlderThan"
    async with maps.stream(f"{CMS}?{query}") as watch:
        await watch.next()  # its head
        await maps.make(CMS, {"metadata": {"name": "new"}})
        assert (await watch.event())["object"]["metadata"]["name"] == "new"


async def test_a_table_watch_cannot_begin_with_marked_state(maps: Api) -> None:
    answer = await maps("GET", f"{CMS}?watch=1&allowWatchBookmarks=1", headers={"accept": TABLE})
    assert answer.status == 406


async def test_component_statuses_are_selected_like_everything_else(api: Api) -> None:
    path = "/api/v1/componentstatuses?fieldSelector="
    assert names(await api("GET", f"{path}metadata.name=etcd-0")) == ["etcd-0"]
    assert names(await api("GET", f"{path}metadata.name=other")) == []
    assert (await api("GET", f"{path}foo=bar")).status == 400
