"""Bring a custom object into its stored form: unknown fields pruned, defaults filled in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from kdist.api.errors import BadRequest
from kdist.api.meta import Obj
from kdist.api.schema import Schema

_ROOT_FIELDS = ("apiVersion", "kind", "metadata")
PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"


@dataclass(slots=True)
class Pruned:
    """What pruning came across: the paths that went, and the embedded objects by path, which have metadata."""

    unknown: list[str] = field(default_factory=list)
    embedded: list[tuple[str, Obj]] = field(default_factory=list)


def prune(obj: Obj, document: Obj) -> Pruned:
    """Remove what the schema does not know, in place."""
    found = Pruned()
    content = {k: v for k, v in obj.items() if k not in _ROOT_FIELDS}
    _prune(content, {**document, EMBEDDED: False}, "", found)
    for name in obj.keys() - content.keys() - set(_ROOT_FIELDS):
        del obj[name]
    return found


def prune_value(value: Any, schema: Obj) -> None:
    """Remove what a schema does not know from a value that is no whole object, in place."""
    _prune(value, schema, "", Pruned())


def _prune(value: Any, schema: Obj, path: str, found: Pruned) -> None:
    if isinstance(value, list):
        items = schema.get("items") or {}
        for at, item in enumerate(value):
            _prune(item, items, f"{path}[{at}]", found)
        return
    if not isinstance(value, dict):
        return
    if schema.get(EMBEDDED) and "metadata" in value:
        found.embedded.append((path, value))
    properties, values = schema.get("properties") or {}, schema.get("additionalProperties")
    for name in list(value):
        below = f"{path}.{name}" if path else name
        if name == "metadata" and schema.get(EMBEDDED):
            continue  # has a type of its own
        if name in properties:
            _prune(value[name], properties[name], below, found)
        elif isinstance(values, dict):
            _prune(value[name], values, below, found)
        elif not _keeps(schema, name):
            del value[name]
            found.unknown.append(below)


def _keeps(schema: Obj, field: str) -> bool:
    if schema.get(PRESERVE) or schema.get("additionalProperties") is True:
        return True
    return bool(schema.get(EMBEDDED)) and field in _ROOT_FIELDS


def default(value: Any, schema: Obj) -> None:
    """Fill in defaults below ``value``, in place; a null that is not allowed gives way to one, or goes."""
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            default(item, schema["items"])
    if not isinstance(value, dict):
        return
    properties, values = schema.get("properties") or {}, schema.get("additionalProperties")
    for name, child in properties.items():
        missing = name not in value or (value[name] is None and not child.get("nullable"))
        if missing and "default" in child:
            value[name] = orjson.loads(orjson.dumps(child["default"]))
        if name in value:
            _default_below(value, name, child)
    if isinstance(values, dict):
        for name in value.keys() - properties.keys():
            if value[name] is None and not values.get("nullable") and "default" in values:
                value[name] = orjson.loads(orjson.dumps(values["default"]))
            _default_below(value, name, values)


def _default_below(value: Obj, name: str, schema: Obj) -> None:
    if value[name] is None and not schema.get("nullable"):
        del value[name]
    else:
        default(value[name], schema)


# Types the metadata at a path, in place of which it returns; raises BadRequest.
Typed = Callable[[Any, str], Any]


def conform(obj: Obj, schema: Schema, typed: Typed) -> list[str]:
    """The custom side of :func:`kdist.apiserver.validation.structure.conform`: content pruned, not judged.

    The metadata of embedded objects is typed like that of every object.
    """
    assert schema.document is not None
    found = prune(obj, schema.document)
    for path, holder in found.embedded:
        where = f"{path}.metadata"
        try:
            holder["metadata"] = typed(holder["metadata"], where)
        except BadRequest as error:
            shown = orjson.dumps(holder["metadata"]).decode()
            raise BadRequest(f"{where}: Invalid value: {shown}: {error.message}") from error
    return found.unknown
