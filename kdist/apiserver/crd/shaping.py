"""Bring a custom object into its stored form: unknown fields pruned, defaults filled in."""

from __future__ import annotations

from typing import Any

import orjson

from kdist.api.meta import Obj
from kdist.api.schema import Schema

_ROOT_FIELDS = ("apiVersion", "kind", "metadata")
PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"


def prune(obj: Obj, document: Obj) -> list[str]:
    """Remove what the schema does not know, in place; the paths that went."""
    unknown: list[str] = []
    content = {k: v for k, v in obj.items() if k not in _ROOT_FIELDS}
    _prune(content, {**document, EMBEDDED: False}, "", unknown)
    for field in obj.keys() - content.keys() - set(_ROOT_FIELDS):
        del obj[field]
    return unknown


def _prune(value: Any, schema: Obj, path: str, unknown: list[str]) -> None:
    if isinstance(value, list):
        items = schema.get("items") or {}
        for at, item in enumerate(value):
            _prune(item, items, f"{path}[{at}]", unknown)
        return
    if not isinstance(value, dict):
        return
    properties, values = schema.get("properties") or {}, schema.get("additionalProperties")
    for field in list(value):
        below = f"{path}.{field}" if path else field
        if field in properties:
            _prune(value[field], properties[field], below, unknown)
        elif isinstance(values, dict):
            _prune(value[field], values, below, unknown)
        elif not _keeps(schema, field):
            del value[field]
            unknown.append(below)


def _keeps(schema: Obj, field: str) -> bool:
    if schema.get(PRESERVE) or schema.get("additionalProperties") is True:
        return True
    return bool(schema.get(EMBEDDED)) and field in _ROOT_FIELDS


def default(value: Any, schema: Obj) -> None:
    """Fill in defaults below ``value``, in place; a null that is not allowed gives way to one."""
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            default(item, schema["items"])
    if not isinstance(value, dict):
        return
    properties, values = schema.get("properties") or {}, schema.get("additionalProperties")
    for field, child in properties.items():
        missing = field not in value or (value[field] is None and not child.get("nullable"))
        if missing and "default" in child:
            value[field] = orjson.loads(orjson.dumps(child["default"]))
        if field in value:
            default(value[field], child)
    if isinstance(values, dict):
        for field in value.keys() - properties.keys():
            default(value[field], values)


def conform(obj: Obj, schema: Schema) -> list[str]:
    """The custom side of :func:`kdist.apiserver.validation.structure.conform`: content pruned, not judged."""
    assert schema.document is not None
    return prune(obj, schema.document)
