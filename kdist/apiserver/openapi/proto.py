"""OpenAPI v2 in protobuf: the form in which Go clients (kubectl's validation, ``edit``) ask for ``/openapi/v2``.

The messages are those of the published ``openapi.v2`` package; the tables below name the fields that a
Kubernetes document has. Free values travel as YAML text, of which JSON is a part. What a table does not name has
no place in the message and is left out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import orjson

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
ACCEPTED = (MEDIA_TYPE, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")

_VARINT, _FIXED64, _LENGTH = 0, 1, 2
# Writes one field: number, value -> bytes.
_Writer = Callable[[int, Any], bytes]


def encode(document: dict[str, Any]) -> bytes:
    """The ``Document`` message of an OpenAPI v2 document."""
    return _message("Document", document)


# ----- the wire


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH) + _varint(len(value)) + value


def _text(number: int, value: Any) -> bytes:
    return _bytes(number, str(value).encode())


def _integer(number: int, value: Any) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(int(value))


def _double(number: int, value: Any) -> bytes:
    return _varint(number << 3 | _FIXED64) + struct.pack("<d", value)


def _any(number: int, value: Any) -> bytes:
    return _bytes(number, _bytes(2, orjson.dumps(value)))


# ----- shapes of fields


def _of(message: str) -> _Writer:
    return lambda number, value: _bytes(number, _message(message, value))


def _each(write: _Writer) -> _Writer:
    return lambda number, values: b"".join(write(number, value) for value in values)


def _inside(number_inside: int, write: _Writer) -> _Writer:
    """A message with one field."""
    return lambda number, value: _bytes(number, write(number_inside, value))


def _named(write: _Writer) -> _Writer:
    """A map as repeated (name, value) pairs."""
    return lambda number, values: b"".join(_pair(number, n, write(2, v)) for n, v in values.items())


def _pair(number: int, name: str, value: bytes) -> bytes:
    return _bytes(number, _text(1, name) + value)


def _message(name: str, value: dict[str, Any]) -> bytes:
    return b"".join(_fields(name, value))


def _fields(name: str, value: dict[str, Any]) -> Iterator[bytes]:
    fields = _MESSAGES[name]
    extension = fields["x-"][0] if "x-" in fields else 0
    for key, item in value.items():
        if key in fields:
            number, write = fields[key]
            yield write(number, item)
        elif extension and key.startswith("x-"):
            yield _pair(extension, key, _any(2, item))


def _parameter(number: int, value: Any) -> bytes:
    """A reference, a body or one of the kinds of parameter that are none."""
    if "$ref" in value:
        return _bytes(number, _bytes(2, _text(1, value["$ref"])))
    return _bytes(number, _whole_parameter(1, value))


def _whole_parameter(number: int, value: Any) -> bytes:
    """A parameter that is no reference."""
    if value["in"] == "body":
        return _bytes(number, _bytes(1, _message("BodyParameter", value)))
    place = {"header": 1, "formData": 2, "query": 3, "path": 4}[value["in"]]
    message = "QueryParameter" if place in (2, 3) else "PathParameter"
    return _bytes(number, _bytes(2, _bytes(place, _message(message, value))))


def _additional(number: int, value: Any) -> bytes:
    return _bytes(number, _integer(2, value) if isinstance(value, bool) else _of("Schema")(1, value))


def _types(number: int, value: Any) -> bytes:
    return _inside(1, _each(_text))(number, value if isinstance(value, list) else [value])


def _items(number: int, value: Any) -> bytes:
    return _inside(1, _each(_of("Schema")))(number, value if isinstance(value, list) else [value])


def _paths(number: int, value: Any) -> bytes:
    return _bytes(number, _named(_of("PathItem"))(2, value))


def _security(number: int, value: Any) -> bytes:
    return _bytes(number, _named(_inside(1, _each(_text)))(1, value))


def _responses(number: int, value: Any) -> bytes:
    return _bytes(number, _named(_inside(1, _of("Response")))(1, value))


_LIMITS = ("type", "format", "items", "collectionFormat", "default", "maximum", "exclusiveMaximum", "minimum",
           "exclusiveMinimum", "maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "enum",
           "multipleOf", "x-")  # fmt: skip
_LIMIT_WRITERS: dict[str, _Writer] = {
    "default": _any,
    "enum": _each(_any),
    **dict.fromkeys(("maximum", "minimum", "multipleOf"), _double),
    **dict.fromkeys(("maxLength", "minLength", "maxItems", "minItems"), _integer),
    **dict.fromkeys(("exclusiveMaximum", "exclusiveMinimum", "uniqueItems"), _integer),
    "items": _of("PrimitivesItems"),
}


def _limits(first: int) -> dict[str, tuple[int, _Writer]]:
    """The keywords that every primitive has, numbered from ``first``."""
    return {key: (first + at, _LIMIT_WRITERS.get(key, _text)) for at, key in enumerate(_LIMITS)}


_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")  # numbered in this order
_MESSAGES: dict[str, dict[str, tuple[int, _Writer]]] = {
    "Document": {
        "swagger": (1, _text),
        "info": (2, _of("Info")),
        "paths": (8, _paths),
        "definitions": (9, _inside(1, _named(_of("Schema")))),
        "parameters": (10, _inside(1, _named(_whole_parameter))),
        "security": (12, _each(_security)),
        "securityDefinitions": (13, _inside(1, _named(_inside(2, _of("ApiKeySecurity"))))),
        "x-": (16, _any),
    },
    "Info": {"title": (1, _text), "version": (2, _text), "description": (3, _text)},
    "ApiKeySecurity": {"type": (1, _text), "name": (2, _text), "in": (3, _text), "description": (4, _text)},
    "PathItem": {
        **{m: (2 + at, _of("Operation")) for at, m in enumerate(_METHODS)},
        "parameters": (9, _each(_parameter)),
        "x-": (10, _any),
    },
    "Operation": {
        "tags": (1, _each(_text)),
        "summary": (2, _text),
        "description": (3, _text),
        "operationId": (5, _text),
        "produces": (6, _each(_text)),
        "consumes": (7, _each(_text)),
        "parameters": (8, _each(_parameter)),
        "responses": (9, _responses),
        "schemes": (10, _each(_text)),
        "deprecated": (11, _integer),
        "security": (12, _each(_security)),
        "x-": (13, _any),
    },
    "Response": {"description": (1, _text), "schema": (2, _inside(1, _of("Schema"))), "x-": (5, _any)},
    "BodyParameter": {
        "description": (1, _text),
        "name": (2, _text),
        "in": (3, _text),
        "required": (4, _integer),
        "schema": (5, _of("Schema")),
        "x-": (6, _any),
    },
    "QueryParameter": {
        "required": (1, _integer),
        "in": (2, _text),
        "description": (3, _text),
        "name": (4, _text),
        "allowEmptyValue": (5, _integer),
        **_limits(6),
    },
    "PathParameter": {
        "required": (1, _integer),
        "in": (2, _text),
        "description": (3, _text),
        "name": (4, _text),
        **_limits(5),
    },
    "PrimitivesItems": _limits(1),
    "Schema": {
        "$ref": (1, _text),
        "format": (2, _text),
        "title": (3, _text),
        "description": (4, _text),
        "default": (5, _any),
        "multipleOf": (6, _double),
        "maximum": (7, _double),
        "exclusiveMaximum": (8, _integer),
        "minimum": (9, _double),
        "exclusiveMinimum": (10, _integer),
        "maxLength": (11, _integer),
        "minLength": (12, _integer),
        "pattern": (13, _text),
        "maxItems": (14, _integer),
        "minItems": (15, _integer),
        "uniqueItems": (16, _integer),
        "maxProperties": (17, _integer),
        "minProperties": (18, _integer),
        "required": (19, _each(_text)),
        "enum": (20, _each(_any)),
        "additionalProperties": (21, _additional),
        "type": (22, _types),
        "items": (23, _items),
        "allOf": (24, _each(_of("Schema"))),
        "properties": (25, _inside(1, _named(_of("Schema")))),
        "discriminator": (26, _text),
        "readOnly": (27, _integer),
        "example": (30, _any),
        "x-": (31, _any),
    },
}  # fmt: skip
