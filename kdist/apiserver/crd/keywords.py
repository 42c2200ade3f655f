"""Whether the keywords of a schema make sense: what is not supported, and lists and maps as they are merged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.crd.shaping import EMBEDDED, PRESERVE
from kdist.apiserver.validation import causes

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_JUNCTORS = ("allOf", "oneOf", "anyOf")
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_ROOT_FIELDS = ("apiVersion", "kind", "metadata")
_LIST_TYPE, _LIST_KEYS, _MAP_TYPE = (
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a schema stands: whether inside an object's own fields, and why it may have no default."""

    own_fields: bool = False
    no_default: str = ""


def check(document: Obj, path: str) -> list[Cause]:
    """Everything wrong with the keywords of a version's schema."""
    return list(_node(document, path, _Place(), root=True))


def _node(schema: Any, path: str, place: _Place, *, root: bool = False) -> Iterator[Cause]:
    if not isinstance(schema, dict):
        return
    yield from _keywords(schema, path, place)
    yield from _map_type(schema, path)
    yield from _list_type(schema, path)
    yield from _list_keys(schema, path)
    yield from _children(schema, path, place, root=root)


def _children(schema: Obj, path: str, place: _Place, *, root: bool) -> Iterator[Cause]:
    below = place
    if place.own_fields:
        below = replace(place, no_default="inside additionalProperties applying to object metadata")
    yield from _node(schema.get("additionalProperties"), f"{path}.additionalProperties", below)
    for field, child in (schema.get("properties") or {}).items():
        below = place
        if (root or schema.get(EMBEDDED)) and field in _ROOT_FIELDS:
            below = _Place(own_fields=True, no_default=f"in top-level {field}" if root else place.no_default)
        yield from _node(child, f"{path}.properties[{field}]", below)
    yield from _node(schema.get("not"), f"{path}.not", place)
    for word in _JUNCTORS:
        for at, part in enumerate(schema.get(word) or ()):
            yield from _node(part, f"{path}.{word}[{at}]", place)
    yield from _node(schema.get("items"), f"{path}.items", place)


def _keywords(schema: Obj, path: str, place: _Place) -> Iterator[Cause]:
    kind = schema.get("type")
    if kind and kind not in _TYPES:
        yield causes.not_supported(f"{path}.type", kind, _TYPES)
    if kind == "null":
        told = "type cannot be set to null, use nullable as an alternative"
        yield causes.forbidden(f"{path}.type", told)
    if place.no_default and schema.get("default") is not None:
        yield causes.forbidden(f"{path}.default", f"must not be set {place.no_default}")
    for word in _UNSUPPORTED:
        if schema.get(word):
            yield causes.forbidden(f"{path}.{word}", f"{word} is not supported")
    if isinstance(schema.get("items"), list):
        yield causes.forbidden(f"{path}.items", "items must be a schema object and not an array")
    if place.own_fields and schema.get(EMBEDDED):
        yield causes.forbidden(f"{path}.{EMBEDDED}", "must not be used inside of resource meta")
    if schema.get("uniqueItems"):
        told = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield causes.forbidden(f"{path}.uniqueItems", told)
    values = schema.get("additionalProperties")
    if schema.get("properties") and (values is False or isinstance(values, dict)):
        told = "additionalProperties and properties are mutual exclusive"
        yield causes.forbidden(f"{path}.additionalProperties", told)
    if schema.get(PRESERVE) is False:
        yield causes.invalid(f"{path}.{PRESERVE}", False, "must be true or undefined")


def _typed(schema: Obj, path: str, wanted: str, word: str) -> Iterator[Cause]:
    kind, told = schema.get("type") or "", f"must be {wanted} if {word} is specified"
    if kind != wanted:
        yield causes.invalid(f"{path}.type", kind, told) if kind else causes.required(f"{path}.type", told)


def _map_type(schema: Obj, path: str) -> Iterator[Cause]:
    kind = schema.get(_MAP_TYPE)
    if kind is None:
        return
    yield from _typed(schema, path, "object", _MAP_TYPE)
    if kind not in ("atomic", "granular"):
        yield causes.not_supported(f"{path}.{_MAP_TYPE}", kind, ("atomic", "granular"))


def _list_type(schema: Obj, path: str) -> Iterator[Cause]:
    kind, items = schema.get(_LIST_TYPE), schema.get("items")
    if kind is None:
        return
    yield from _typed(schema, path, "array", _LIST_TYPE)
    if kind not in ("atomic", "set", "map"):
        yield causes.not_supported(f"{path}.{_LIST_TYPE}", kind, ("atomic", "set", "map"))
    if not isinstance(items, dict):
        return
    if kind in ("set", "map") and items.get("nullable"):
        yield causes.forbidden(f"{path}.items.nullable", f"cannot be nullable when {_LIST_TYPE} is {kind}")
    if kind != "set" or schema.get("type") != "array":
        return
    for item, word, default in (("array", _LIST_TYPE, "atomic"), ("object", _MAP_TYPE, "granular")):
        if items.get("type") == item and items.get(word, default) != "atomic":
            told = f"must be atomic as item of a list with {_LIST_TYPE}=set"
            yield causes.invalid(f"{path}.items.{word}", items.get(word), told)


def _list_keys(schema: Obj, path: str) -> Iterator[Cause]:
    keys, kind = schema.get(_LIST_KEYS) or [], schema.get(_LIST_TYPE)
    where, told = f"{path}.{_LIST_TYPE}", f"must be map if {_LIST_KEYS} is non-empty"
    if keys and kind != "map":
        yield causes.invalid(where, kind, told) if kind else causes.required(where, told)
    if kind != "map":
        return
    if not keys:
        told = f"must not be empty if {_LIST_TYPE} is map"
        yield causes.required(f"{path}.{_LIST_KEYS}", told)
    items = schema.get("items")
    if not isinstance(items, dict):
        yield causes.required(f"{path}.items", f"must have a schema if {_LIST_TYPE} is map")
    elif items.get("type") != "object":
        told = f"must be object if parent array's {_LIST_TYPE} is map"
        yield causes.invalid(f"{path}.items.type", items.get("type") or "", told)
    else:
        yield from _keys_of(keys, items, path)


def _keys_of(keys: list[str], items: Obj, path: str) -> Iterator[Cause]:
    properties, required = items.get("properties") or {}, items.get("required") or ()
    for at, key in enumerate(keys):
        if key in keys[:at]:
            yield causes.invalid(f"{path}.{_LIST_KEYS}", keys, "must not contain duplicate entries")
        if key not in properties:
            yield causes.invalid(f"{path}.{_LIST_KEYS}", keys, "entries must all be names of item properties")
            continue
        child, where = properties[key], f"{path}.items.properties[{key}]"
        if child.get("type") in ("array", "object"):
            told = f"must be a scalar type if parent array's {_LIST_TYPE} is map"
            yield causes.invalid(f"{where}.type", items["type"], told)
        rule = f"this property is in {_LIST_KEYS}, so it"
        if key not in required and child.get("default") is None:
            yield causes.required(f"{where}.default", f"{rule} must have a default or be a required property")
        if child.get("nullable"):
            yield causes.forbidden(f"{where}.nullable", f"{rule} cannot be nullable")
