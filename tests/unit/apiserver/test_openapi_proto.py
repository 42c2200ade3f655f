"""OpenAPI v2 as protobuf says what the JSON says."""

from __future__ import annotations

import orjson
import pytest

from kdist.api.scheme import Scheme
from kdist.apiserver.openapi import OpenAPI, proto
from kdist.apiserver.protobuf import wire

# Field numbers of the published openapi.v2 package.
PATHS, DEFINITIONS, PROPERTIES, DESCRIPTION, TYPE, ENUM = 8, 9, 25, 4, 22, 20
PARAMETERS, GET, OPERATION_PARAMETERS, REFERENCE, NON_BODY, QUERY, NAME = 10, 2, 8, 2, 2, 3, 4


def _inside(message: bytes, *numbers: int) -> bytes:
    for number in numbers:
        message = next(
            value for at, value in wire.fields(message) if at == number and isinstance(value, bytes)
        )
    return message


def _named(message: bytes, name: str) -> bytes:
    """The value of one (name, value) pair among a message's fields."""
    for _, pair in wire.fields(message):
        assert isinstance(pair, bytes)
        if _inside(pair, 1).decode() == name:
            return _inside(pair, 2)
    raise KeyError(name)


def test_the_document_of_a_server_has_its_definitions_with_values() -> None:
    documents = OpenAPI(Scheme.load("1.32"))
    body = documents.v2_protobuf().body()
    told = orjson.loads(documents.v2().body())["definitions"]["io.k8s.api.batch.v1.CronJobSpec"]["properties"]
    spec = _named(_inside(body, DEFINITIONS), "io.k8s.api.batch.v1.CronJobSpec")
    policy = _named(_inside(spec, PROPERTIES), "concurrencyPolicy")
    assert _inside(policy, TYPE, 1) == b"string"
    assert _inside(policy, DESCRIPTION).decode() == told["concurrencyPolicy"]["description"]
    values = [
        _inside(value, 2)
        for number, value in wire.fields(policy)
        if number == ENUM and isinstance(value, bytes)
    ]
    assert values == [b'"Allow"', b'"Forbid"', b'"Replace"']
    assert told["concurrencyPolicy"]["enum"] == ["Allow", "Forbid", "Replace"]


def test_paths_name_their_operations_and_parameters() -> None:
    document = {
        "paths": {"/x": {"get": {"operationId": "read"}, "parameters": [{"in": "query", "name": "q"}]}}
    }
    path = _inside(proto.encode(document), PATHS, 2)
    assert _inside(path, 2, 2, 5) == b"read"
    assert _inside(path, 2, 9, 1, 2, 3, 4) == b"q"


def test_words_that_version_2_lacks_are_left_out() -> None:
    assert proto.encode({"definitions": {"A": {"nullable": True}}}) == proto.encode(
        {"definitions": {"A": {}}}
    )


@pytest.mark.parametrize(
    ("value", "written"), [(1, b"\x88\x01\x01"), (-1, b"\x88\x01" + b"\xff" * 9 + b"\x01")]
)
def test_integers_are_varints(value: int, written: bytes) -> None:
    schema = proto.encode({"definitions": {"A": {"maxProperties": value}}})
    assert written in schema


def test_operations_refer_to_the_parameters_of_the_document() -> None:
    body = OpenAPI(Scheme.load("1.32")).v2_protobuf().body()
    path = _named(_inside(body, PATHS), "/api/v1/namespaces/{namespace}/pods")
    listed = [value for at, value in wire.fields(_inside(path, GET)) if at == OPERATION_PARAMETERS]
    assert _inside(listed[0], REFERENCE, 1) == b"#/parameters/allowWatchBookmarks"  # type: ignore[arg-type]
    shared = _named(_inside(body, PARAMETERS), "allowWatchBookmarks")
    assert _inside(shared, NON_BODY, QUERY, NAME) == b"allowWatchBookmarks"
