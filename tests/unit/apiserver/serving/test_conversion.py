"""Custom resources in several versions: every one is served, a webhook converts between them over real TLS."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from kdist.apiserver.selfsigned import serving_certificate

from .conftest import Api

Obj = dict[str, Any]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
V1, V2 = (f"/apis/example.com/{v}/namespaces/default/things" for v in ("v1", "v2"))


class Converter:
    """``address`` of v1 is ``host`` and ``port`` of v2; ``spoil`` may change what is answered."""

    def __init__(self) -> None:
        self.calls: list[Obj] = []
        self.port, self.ca = 0, ""

    def spoil(self, review: Obj) -> None:
        """Nothing, unless a test says otherwise."""

    async def serve(self, request: web.Request) -> web.Response:
        review = orjson.loads(await request.read())
        asked = review.pop("request")
        self.calls.append(asked)
        objects = [self._convert(obj, asked["desiredAPIVersion"]) for obj in asked["objects"]]
        review["response"] = {
            "uid": asked["uid"],
            "result": {"status": "Success"},
            "convertedObjects": objects,
        }
        self.spoil(review)
        return web.json_response(review)

    @staticmethod
    def _convert(obj: Obj, to: str) -> Obj:
        if to.endswith("v2") and "address" in obj:
            obj["host"], obj["port"] = obj.pop("address").split(":")
        elif to.endswith("v1") and "host" in obj:
            obj["address"] = f"{obj.pop('host')}:{obj.pop('port')}"
        return {**obj, "apiVersion": to}


@pytest.fixture
async def converter(tmp_path: Path) -> AsyncIterator[Converter]:
    converter = Converter()
    pems = serving_certificate(["127.0.0.1"])
    for name, pem in zip(("crt", "key"), pems, strict=True):
        (tmp_path / name).write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    app = web.Application()
    app.router.add_post("/convert", converter.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    converter.port, converter.ca = runner.addresses[0][1], base64.b64encode(pems[0]).decode()
    yield converter
    await runner.cleanup()


def _version(name: str, *fields: str, storage: bool) -> Obj:
    properties = {field: {"type": "string"} for field in fields}
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
        "selectableFields": [{"jsonPath": f".{fields[0]}"}],
    }


def _definition(converter: Converter) -> Obj:
    client = {"url": f"https://127.0.0.1:{converter.port}/convert", "caBundle": converter.ca}
    webhook = {"clientConfig": client, "conversionReviewVersions": ["v1"]}
    return {
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "conversion": {"strategy": "Webhook", "webhook": webhook},
            "versions": [
                _version("v1", "address", storage=True),
                _version("v2", "host", "port", storage=False),
            ],
        },
    }


@pytest.fixture
async def served(api: Api, converter: Converter) -> Converter:
    await api.make(DEFINITIONS, _definition(converter))
    await _until_served(api, V2)
    return converter


async def _until_served(api: Api, path: str) -> None:
    for _ in range(1000):
        if (await api("GET", path)).status == 200:
            return
        await asyncio.sleep(0)
    pytest.fail(f"{path} is not served")


def _thing(version: str, name: str, **fields: Any) -> Obj:
    return {"apiVersion": f"example.com/{version}", "kind": "Thing", "metadata": {"name": name}, **fields}


async def test_every_version_shows_the_same_objects(api: Api, served: Converter) -> None:
    await api.make(V1, _thing("v1", "a", address="h:1"))
    made = await api.make(V2, _thing("v2", "b", host="k", port="2"))
    assert (made["host"], made["port"]) == ("k", "2")
    assert (await api("GET", f"{V2}/a")).json["port"] == "1"
    assert (await api("GET", f"{V1}/b")).json["address"] == "k:2"
    patched = await api("PATCH", f"{V2}/a", {"port": "9"}, {"content-type": "application/merge-patch+json"})
    assert (patched.json["host"], patched.json["port"]) == ("h", "9")
    assert (await api("GET", f"{V1}/a")).json["address"] == "h:9"


async def test_a_collection_is_deleted_and_answered_in_the_version_of_the_request(
    api: Api, served: Converter
) -> None:
    for name in "ab":
        await api.make(V1, _thing("v1", name, address=f"{name}:1"))
    deleted = await api("DELETE", V2)
    assert deleted.status == 200
    assert [(item["host"], item["port"]) for item in deleted.json["items"]] == [("a", "1"), ("b", "1")]
    assert (await api("GET", V1)).json["items"] == []


async def test_a_list_is_converted_in_one_call(api: Api, served: Converter) -> None:
    for name in "abc":
        await api.make(V1, _thing("v1", name, address=f"{name}:1"))
    served.calls.clear()
    listed = (await api("GET", V2)).json
    assert listed["kind"] == "ThingList" and [o["host"] for o in listed["items"]] == ["a", "b", "c"]
    assert [len(call["objects"]) for call in served.calls] == [3]
    served.calls.clear()
    assert len((await api("GET", V1)).json["items"]) == 3
    assert served.calls == []


async def test_fields_are_selected_in_the_version_of_the_request(api: Api, served: Converter) -> None:
    for name in "ab":
        await api.make(V1, _thing("v1", name, address=f"{name}:1"))
    assert [
        o["metadata"]["name"] for o in (await api("GET", f"{V2}?fieldSelector=host%3Db")).json["items"]
    ] == ["b"]
    assert (await api("GET", f"{V1}?fieldSelector=host%3Db")).status == 400
    async with api.stream(f"{V2}?watch=1&fieldSelector=host%3Db") as watch:
        assert (await watch.event())["object"]["port"] == "1"
        merge = {"content-type": "application/merge-patch+json"}
        await api("PATCH", f"{V1}/a", {"address": "b:5"}, merge)
        event = await watch.event()
        assert (event["type"], event["object"]["port"]) == ("ADDED", "5")
        await api("PATCH", f"{V1}/b", {"address": "z:5"}, merge)
        assert (await watch.event())["type"] == "DELETED"


async def test_the_webhook_cannot_change_who_an_object_is(api: Api, served: Converter) -> None:
    made = await api.make(V1, _thing("v1", "a", address="h:1"))

    def relabel(review: Obj) -> None:
        (obj,) = review["response"]["convertedObjects"]
        obj["metadata"] = {**obj["metadata"], "labels": {"x": "y"}, "generation": 77, "finalizers": ["f"]}

    served.spoil = relabel  # type: ignore[method-assign]
    metadata = (await api("GET", f"{V2}/a")).json["metadata"]
    assert metadata["labels"] == {"x": "y"}
    assert metadata["generation"] == made["metadata"]["generation"] and "finalizers" not in metadata

    def rename(review: Obj) -> None:
        review["response"]["convertedObjects"][0]["metadata"]["name"] = "other"

    served.spoil = rename  # type: ignore[method-assign]
    answer = await api("GET", f"{V2}/a")
    assert answer.status == 500 and "must have the same name: a != other" in answer.json["message"]


async def test_a_failing_webhook_fails_the_request_and_no_other(api: Api, served: Converter) -> None:
    await api.make(V1, _thing("v1", "a", address="h:1"))

    def refuse(review: Obj) -> None:
        review["response"]["result"] = {"status": "Failed", "message": "not today"}

    served.spoil = refuse  # type: ignore[method-assign]
    answer = await api("GET", f"{V2}/a")
    told = "conversion webhook for example.com/v1, Kind=Thing failed: not today"
    assert (answer.status, answer.json["message"]) == (500, told)
    assert (await api("POST", V2, _thing("v2", "b", host="h", port="1"))).status == 500
    assert (await api("GET", f"{V1}/a")).status == 200
    assert (await api("DELETE", f"{V1}/a")).status == 200


async def test_a_new_storage_version_takes_objects_over_as_they_are_written(
    api: Api, served: Converter
) -> None:
    await api.make(V1, _thing("v1", "a", address="h:1"))
    definition = (await api("GET", f"{DEFINITIONS}/things.example.com")).json
    for version in definition["spec"]["versions"]:
        version["storage"] = version["name"] == "v2"
    changed = await api("PUT", f"{DEFINITIONS}/things.example.com", definition)
    assert changed.json["status"]["storedVersions"] == ["v1", "v2"]
    await _until_served(api, f"{V1}/a")
    await api("PUT", f"{V1}/a", (await api("GET", f"{V1}/a")).json)
    stored = await api.server.core.storage.get("/registry/example.com/things/default/a")
    assert stored is not None and orjson.loads(stored.value)["apiVersion"] == "example.com/v2"
