"""Fields that a published type requires, checked on the user's side of an object (not in the status)."""

from __future__ import annotations

from typing import Any

from kdist.api.errors import Cause
from kdist.api.schema import Schema
from kdist.apiserver.validation import causes

_SKIPPED = {"metadata", "status", "apiVersion", "kind"}
_NOTHING: tuple[Any, ...] = (None, "", [], {})
# What the schema requires but upstream takes without.
_MAY_BE_EMPTY = {"conditions", "drivers", "endpoints", "limits", "serviceName"}
_NOT_ASKED = {
    ("ContainerResizePolicy", "resourceName"),
    ("ContainerResizePolicy", "restartPolicy"),
    ("HTTPHeader", "name"),
    ("PodFailurePolicy", "rules"),
    ("PodFailurePolicyOnPodConditionsPattern", "status"),
    ("HTTPHeader", "value"),
    ("PreferredSchedulingTerm", "preference"),
    ("Sysctl", "value"),
    ("TokenRequest", "audience"),
}


def missing(obj: dict[str, Any], schema: Schema) -> list[Cause]:
    """A cause for every required field of the object that is absent or empty."""
    found: list[Cause] = []
    _object(obj, schema, "", found)
    return found


def _object(value: dict[str, Any], schema: Schema, path: str, found: list[Cause]) -> None:
    prefix = f"{path}." if path else ""
    for field in schema.required:
        have = value.get(field)
        if have not in _NOTHING or (schema.short_name, field) in _NOT_ASKED:
            continue
        if have == {} and schema.properties[field].kind == "object":
            continue  # judged by what it requires itself, below
        if path or field not in _SKIPPED:
            _absent(schema.properties[field], f"{prefix}{field}", field, found)
    for field, item in value.items():
        if not isinstance(item, dict | list):
            continue
        child = schema.properties.get(field)
        if child is not None and (path or field not in _SKIPPED):
            _descend(item, child, f"{prefix}{field}", found)


def _descend(value: Any, schema: Schema, path: str, found: list[Cause]) -> None:
    if schema.kind == "object" and isinstance(value, dict):
        _object(value, schema, path, found)
    elif schema.kind == "array" and schema.items is not None and schema.items.kind == "object":
        for at, item in enumerate(value or ()):
            _object(item, schema.items, f"{path}[{at}]", found)


def _absent(schema: Schema, path: str, field: str, found: list[Cause]) -> None:
    """Numbers and booleans are zero when absent; a struct is judged by what it requires itself."""
    if schema.kind == "object":
        before = len(found)
        _object({}, schema, path, found)
        if len(found) == before:
            found.append(causes.required(path))
    elif schema.kind in ("string", "array", "map", "quantity") and field not in _MAY_BE_EMPTY:
        found.append(causes.required(path))
