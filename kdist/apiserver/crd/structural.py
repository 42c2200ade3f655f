"""Whether a schema is structural: every field has its type outside of the logical junctors.

The invariants and their words are upstream's (structural schemas of CustomResourceDefinitions).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.cel import patterns
from kdist.apiserver.cel.errors import EvaluationError
from kdist.apiserver.crd.definition import INT_OR_STRING
from kdist.apiserver.crd.shaping import EMBEDDED, PRESERVE
from kdist.apiserver.validation import causes

_ROLES = {"items": "array items", "fields": "object fields"}
_INT_OR_STRING_TYPES = [{"type": "integer"}, {"type": "string"}]
# Keywords of the structure and what they have to be inside of a junctor.
_FORBIDDEN = {
    "type": "empty",
    "additionalProperties": "undefined",
    "default": "undefined",
    "title": "empty",
    "description": "empty",
    "nullable": "false",
    PRESERVE: "false",
    EMBEDDED: "false",
    INT_OR_STRING: "false",
    "x-kubernetes-list-map-keys": "empty",
    "x-kubernetes-list-type": "undefined",
    "x-kubernetes-map-type": "undefined",
    "x-kubernetes-validations": "empty",
}
_METADATA = {"name", "generateName"}


def check(document: Obj, path: str) -> list[Cause]:
    """Everything that keeps a version's schema from being structural, in order of the messages."""
    found = _node(document, path, "root")
    return sorted(found, key=lambda cause: (cause.field, cause.message))


def _node(schema: Obj, path: str, role: str) -> Iterator[Cause]:
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict | list):
        yield causes.required(f"{path}.items", "must be specified")
    if isinstance(schema.get("items"), dict):
        yield from _node(schema["items"], f"{path}.items", "items")
    for field, child in (schema.get("properties") or {}).items():
        yield from _node(child, f"{path}.properties[{field}]", "fields")
    values = schema.get("additionalProperties")
    if values is not None and role == "root":
        yield causes.forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if isinstance(values, dict):
        yield from _node(values, f"{path}.additionalProperties", "fields")
    yield from _extensions(schema, path)
    yield from _type(schema, path, role)
    yield from _type_of_objects(schema, path, role)
    any_of = schema.get("anyOf") == _INT_OR_STRING_TYPES
    all_of = schema.get("allOf") or []
    first = bool(all_of) and (all_of[0] or {}).get("anyOf") == _INT_OR_STRING_TYPES
    yield from _validation(schema, path, skip_any_of=any_of, skip_first=first)


def _extensions(schema: Obj, path: str) -> Iterator[Cause]:
    for word in (PRESERVE, EMBEDDED):
        if schema.get(INT_OR_STRING) and schema.get(word):
            yield causes.invalid(f"{path}.{word}", True, f"must be false if {INT_OR_STRING} is true")
    if not schema.get(EMBEDDED):
        return
    if schema.get("additionalProperties") is not None:
        told = f"must not be used if {EMBEDDED} is set"
        yield causes.forbidden(f"{path}.additionalProperties", told)
    if not schema.get(PRESERVE) and not schema.get("properties"):
        told = f"must not be empty if {EMBEDDED} is true without {PRESERVE}"
        yield causes.required(f"{path}.properties", told)


def _type(schema: Obj, path: str, role: str) -> Iterator[Cause]:
    kind, where = schema.get("type") or "", f"{path}.type"
    if schema.get(EMBEDDED) and kind != "object":
        told = f"must be object if {EMBEDDED} is true"
        yield causes.invalid(where, kind, told) if kind else causes.required(where, told)
    elif not kind and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        where_it_is = "at the root" if role == "root" else f"for specified {_ROLES[role]}"
        yield causes.required(where, f"must not be empty {where_it_is}")
    if role == "root" and kind and kind != "object":
        yield causes.invalid(where, kind, "must be object at the root")


def _type_of_objects(schema: Obj, path: str, role: str) -> Iterator[Cause]:
    """What an object has by itself can be restricted, not defined anew."""
    properties = schema.get("properties") or {}
    has_metadata = role == "root" or schema.get(EMBEDDED)
    for field in ("kind", "apiVersion"):
        if has_metadata and field in properties and properties[field].get("type") != "string":
            where = f"{path}.properties[{field}].type"
            yield causes.invalid(where, properties[field].get("type") or "", "must be string")
    metadata, where = properties.get("metadata"), f"{path}.properties[metadata]"
    if metadata is None:
        return
    if has_metadata and metadata.get("type") != "object":
        yield causes.invalid(f"{where}.type", metadata.get("type") or "", "must be object")
    if role == "root" and _says_more(metadata):
        told = (
            "must not specify anything other than name and generateName, but metadata is implicitly specified"
        )
        yield causes.forbidden(where, told)


def _says_more(metadata: Obj) -> bool:
    known = (metadata.get("properties") or {}).keys() <= _METADATA
    return not known or bool(metadata.keys() - {"type", "properties", "default"})


# ----- inside of junctors


def _validation(node: Obj, path: str, *, skip_any_of: bool, skip_first: bool) -> Iterator[Cause]:
    for word in ("anyOf", "allOf", "oneOf"):
        if word == "anyOf" and skip_any_of:
            continue
        for at, part in enumerate(node.get(word) or ()):
            first = word == "allOf" and at == 0 and skip_first
            yield from _nested(part, f"{path}.{word}[{at}]", skip_any_of=first)
    if isinstance(node.get("not"), dict):
        yield from _nested(node["not"], f"{path}.not")
    if node.get("pattern"):
        try:
            patterns.compile(node["pattern"])
        except EvaluationError as error:
            told = f"must be a valid regular expression, but isn't: {error}"
            yield causes.invalid(f"{path}.pattern", node["pattern"], told)


def _nested(node: Any, path: str, *, skip_any_of: bool = False) -> Iterator[Cause]:
    if not isinstance(node, dict):
        return
    yield from _validation(node, path, skip_any_of=skip_any_of, skip_first=False)
    if isinstance(node.get("items"), dict):
        yield from _nested(node["items"], f"{path}.items")
    for field, child in (node.get("properties") or {}).items():
        yield from _nested(child, f"{path}.properties[{field}]")
    for word, wanted in _FORBIDDEN.items():
        value = node.get(word)
        if value if wanted != "undefined" else value is not None:
            yield causes.forbidden(f"{path}.{word}", f"must be {wanted} to be structural")
    if "metadata" in (node.get("properties") or {}):
        yield causes.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")
