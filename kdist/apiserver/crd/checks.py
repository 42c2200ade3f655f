"""Judge the definitions themselves: schemas are structural, and all that they say makes sense."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.crd import jsonpath, values
from kdist.apiserver.crd.definition import INT_OR_STRING, document_of
from kdist.apiserver.crd.shaping import PRESERVE
from kdist.apiserver.validation import causes

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_LOGICAL = ("allOf", "anyOf", "oneOf")
# Keywords that belong to the structure, not to the value validation of logical junctors.
_STRUCTURAL = (
    "type",
    "default",
    "additionalProperties",
    "nullable",
    PRESERVE,
    "x-kubernetes-embedded-resource",
)


def check(spec: Obj) -> list[Cause]:
    """Everything wrong with the schemas and columns of a definition's versions."""
    return list(_check(spec))


def _check(spec: Obj) -> Iterator[Cause]:
    versions = spec.get("versions") or []
    if spec.get("preserveUnknownFields"):
        told = f"cannot set to true, set {PRESERVE} to true in spec.versions[*].schema instead"
        yield causes.invalid("spec.preserveUnknownFields", True, told)
    documents = [document_of(version) for version in versions]
    if documents and all(d == documents[0] for d in documents):  # one schema for all is told once
        yield from _root(documents[0], "spec.validation.openAPIV3Schema")
    else:
        for at, document in enumerate(documents):
            yield from _root(document, f"spec.versions[{at}].schema.openAPIV3Schema")
    for at, version in enumerate(versions):
        yield from _columns(version, f"spec.versions[{at}]")


def _columns(version: Obj, path: str) -> Iterator[Cause]:
    for at, column in enumerate(version.get("additionalPrinterColumns") or ()):
        try:
            jsonpath.parse(column.get("jsonPath") or "")
        except ValueError as error:
            where = f"{path}.additionalPrinterColumns[{at}].jsonPath"
            yield causes.invalid(where, column.get("jsonPath"), str(error))


def _root(document: Obj, path: str) -> Iterator[Cause]:
    if not document:
        return
    kind = document.get("type")
    if not kind:
        yield causes.required(f"{path}.type", "must not be empty at the root")
    elif kind != "object":
        yield causes.invalid(f"{path}.type", kind, "must be object at the root")
    yield from _below(document, path)


def _node(schema: Obj, path: str, role: str) -> Iterator[Cause]:
    if not schema.get("type") and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        yield causes.required(f"{path}.type", f"must not be empty for specified {role}")
    yield from _below(schema, path)


def _below(schema: Obj, path: str) -> Iterator[Cause]:
    yield from _keywords(schema, path)
    yield from _lists(schema, path)
    yield from _default(schema, path)
    for field, child in (schema.get("properties") or {}).items():
        yield from _node(child, f"{path}.properties[{field}]", "object fields")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _node(schema["additionalProperties"], f"{path}.additionalProperties", "object fields")
    if isinstance(schema.get("items"), dict):
        yield from _node(schema["items"], f"{path}.items", "array items")
    for word in _LOGICAL:
        for at, part in enumerate(schema.get(word) or ()):
            yield from _junctor(part, f"{path}.{word}[{at}]", allowed=bool(schema.get(INT_OR_STRING)))
    if schema.get("not"):
        yield from _junctor(schema["not"], f"{path}.not")


def _keywords(schema: Obj, path: str) -> Iterator[Cause]:
    kind = schema.get("type")
    if kind and kind not in _TYPES:
        yield causes.not_supported(f"{path}.type", kind, _TYPES)
    if schema.get("$ref"):
        yield causes.forbidden(f"{path}.$ref", "$ref is not supported")
    if schema.get("uniqueItems"):
        told = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield causes.forbidden(f"{path}.uniqueItems", told)
    if schema.get("additionalProperties") is False:
        yield causes.forbidden(f"{path}.additionalProperties", "additionalProperties cannot be set to false")
    if schema.get("additionalProperties") and schema.get("properties"):
        told = "additionalProperties and properties are mutual exclusive"
        yield causes.forbidden(f"{path}.additionalProperties", told)
    if schema.get(PRESERVE) is False:
        yield causes.invalid(f"{path}.{PRESERVE}", False, "must be true or undefined")
    if schema.get("pattern"):
        try:
            re.compile(schema["pattern"])
        except re.error as error:
            told = f"must be a valid regular expression, but isn't: {error}"
            yield causes.invalid(f"{path}.pattern", schema["pattern"], told)


def _lists(schema: Obj, path: str) -> Iterator[Cause]:
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict):
        yield causes.required(f"{path}.items", "must be specified")
    kind, where = schema.get("x-kubernetes-list-type"), f"{path}.x-kubernetes-list-type"
    if kind is None:
        return
    if kind not in ("atomic", "map", "set"):
        yield causes.not_supported(where, kind, ("atomic", "map", "set"))
    if schema.get("type") != "array":
        yield causes.invalid(
            f"{path}.type", schema.get("type", ""), "must be array if x-kubernetes-list-type is specified"
        )
    keys = schema.get("x-kubernetes-list-map-keys") or []
    if kind != "map":
        return
    if not keys:
        told = "must not be empty if x-kubernetes-list-type is map"
        yield causes.required(f"{path}.x-kubernetes-list-map-keys", told)
    known: dict[str, Any] = (schema.get("items") or {}).get("properties") or {}
    for at, key in enumerate(keys):
        if key not in known:
            told = "entries must all be names of item properties"
            yield causes.invalid(f"{path}.x-kubernetes-list-map-keys[{at}]", key, told)


def _default(schema: Obj, path: str) -> Iterator[Cause]:
    if "default" in schema:
        yield from values.check(schema["default"], schema, f"{path}.default")


def _junctor(schema: Obj, path: str, *, allowed: bool = False) -> Iterator[Cause]:
    """Value validation only; the types of an int-or-string's two branches are its idiom."""
    for word in _STRUCTURAL:
        if word in schema and not (allowed and word == "type"):
            state = "undefined" if word == "default" else "empty"
            yield causes.forbidden(f"{path}.{word}", f"must be {state} to be structural")
    for field, child in (schema.get("properties") or {}).items():
        yield from _junctor(child, f"{path}.properties[{field}]")
    for word in _LOGICAL:
        for at, part in enumerate(schema.get(word) or ()):
            yield from _junctor(part, f"{path}.{word}[{at}]", allowed=allowed)
