"""Conform an object to its schema: types checked, unknown fields pruned, values in the form that is stored.

The stored form has no nulls, zero values where upstream writes them and only there (:class:`Schema` knows),
canonical quantities and UTC times, so that equal objects are equal bytes. A value of a wrong type is a BadRequest
in the words of upstream's decoder; unknown fields are returned and judged by the caller.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from datetime import UTC
from typing import Any

from kdist.api import meta, quantity
from kdist.api.errors import BadRequest
from kdist.api.schema import Schema

# (path of the parent, field name or list index); the root is None.
_Path = tuple[Any, str | int] | None

_RANGES = {"int32": 2**31, "int64": 2**63}
_SECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_MICROS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_FRACTION = re.compile(r"T\d\d:\d\d:\d\d\.\d{6}(?!\d)")
# What a field is written as that the client left out.
_EMPTY = {"string": "", "quantity": "0", "integer": 0, "int-or-string": 0, "number": 0, "boolean": False}


def conform(obj: dict[str, Any], schema: Schema, *, whole: bool = True) -> list[str]:
    """Bring ``obj`` into its stored form, in place; the paths of the unknown fields that were pruned.

    What is not a whole object (an apply patch) does not get the fields that are written when left out, and keeps
    those that are left out when written: who says that a flag is off owns it, and turns it off.
    """
    unknown: list[str] = []
    if schema.document is not None:
        from kdist.apiserver.crd import shaping  # servers without custom resources do without

        metadata = schema.properties["metadata"]

        def typed(value: Any, where: str) -> Any:
            return _object(value, metadata, (None, where), _Walk(metadata, unknown))

        if "metadata" in obj:
            obj["metadata"] = typed(obj["metadata"], "metadata")
        pruned = shaping.conform(obj, schema, typed)
        return [*pruned, *unknown]
    if schema.kind != "any":
        _object(obj, schema, None, _Walk(schema, unknown, whole=whole))
    return unknown


class _Walk:
    """What one pass carries along."""

    __slots__ = ("root", "unknown", "whole")

    def __init__(self, root: Schema, unknown: list[str], *, whole: bool = True) -> None:
        self.root = root
        self.whole = whole
        self.unknown = unknown


def path_text(path: _Path) -> str:
    """``spec.containers[0].image``."""
    parts: list[str] = []
    while path is not None:
        path, step = path
        parts.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return "".join(reversed(parts)).removeprefix(".")


def _object(value: Any, schema: Schema, path: _Path, walk: _Walk) -> Any:
    if type(value) is not dict:
        raise _wrong(value, schema, path, walk)
    properties = schema.properties
    dropped: list[str] = []
    for field, item in value.items():
        child = properties.get(field)
        if child is None:
            walk.unknown.append(path_text((path, field)))
            dropped.append(field)
        elif item is None:
            dropped.append(field)
        elif child.kind != "string" or type(item) is not str or child.format:
            checked = _CHECKS[child.kind](item, child, (path, field), walk)
            if checked is not item:
                value[field] = checked
            if not checked and walk.whole and _is_left_out(checked, field, child, schema):
                dropped.append(field)
        elif not item and walk.whole and field not in schema.keeps:
            dropped.append(field)
    for field in dropped:
        del value[field]
    if schema.emits and walk.whole:
        _emit(value, schema)
    return value


def _is_left_out(item: Any, field: str, child: Schema, parent: Schema) -> bool:
    """Whether an empty value is as good as none, and written as none."""
    if type(item) in (bool, int, float):
        return field in parent.drops
    return child.kind not in ("object", "any", "int-or-string") and field not in parent.keeps


def _emit(value: dict[str, Any], schema: Schema) -> None:
    """Write out what is written even when it was left out."""
    for field in schema.emits:
        if field not in value:
            child = schema.properties[field]
            if child.kind == "object":
                nested: dict[str, Any] = {}
                value[field] = nested
                _emit(nested, child)
            elif child.kind in _EMPTY:
                value[field] = _EMPTY[child.kind]


def _map(value: Any, schema: Schema, path: _Path, walk: _Walk) -> Any:
    if type(value) is not dict:
        raise _wrong(value, schema, path, walk)
    items = schema.items
    if items is None:
        return value
    check = _CHECKS[items.kind]
    for key, item in value.items():
        if type(item) is not str or items.kind != "string" or items.format:
            value[key] = _zero(items) if item is None else check(item, items, (path, key), walk)
    return value


def _zero(schema: Schema) -> Any:
    return {"string": "", "quantity": "0", "object": {}, "array": [], "map": {}}.get(schema.kind)


def _array(value: Any, schema: Schema, path: _Path, walk: _Walk) -> Any:
    if type(value) is not list:
        raise _wrong(value, schema, path, walk)
    items = schema.items
    if items is None:
        return value
    check = _CHECKS[items.kind]
    for at, item in enumerate(value):
        value[at] = _zero(items) if item is None else check(item, items, (path, at), walk)
    return value


def _string(value: Any, schema: Schema, path: _Path, walk: _Walk) -> Any:
    if type(value) is not str:
        raise _wrong(value, schema, path, walk)
    if schema.format == "byte":
        try:
            binascii.a2b_base64(value, strict_mode=True)
        except ValueError:  # of binascii, or because it is not even ASCII
            raise BadRequest(f"illegal base64 data at input byte {_misfit(value)}") from None
    return value


def _misfit(value: str) -> int:
    """Where a text stops being base64, as Go counts: an unfinished group of four is wrong from its beginning."""
    for at, letter in enumerate(value):
        if not letter.isascii() or not (letter.isalnum() or letter in "+/="):
            return at
    pad = value.find("=")
    if pad < 0:
        return len(value) - len(value) % 4
    if pad % 4 < 2:
        return pad
    end = (pad // 4 + 1) * 4
    odd = next((at for at in range(pad, min(end, len(value))) if value[at] != "="), None)
    return odd if odd is not None else min(end, len(value))


def _integer(value: Any, schema: Schema, path: _Path, walk: _Walk) -> Any:
    limit = _RANGES.get(schema.format, 2**63)
    if type(value) is not int or not -limit <= value < limit:
        raise _wrong(value, schema, path, walk)
    return value


def _number(value: Any, schema: Schema, path: _Path, walk: _Walk) -> Any:
    if type(value) not in (int, float):
        raise _wrong(value, schema, path, walk)
    return value


def _boolean(value: Any, schema: Schema, path: _Path, walk: _Walk) -> Any:
    if type(value) is not bool:
        raise _wrong(value, schema, path, walk)
    return value


def _quantity(value: Any, schema: Schema, path: _Path, walk: _Walk) -> Any:
    if type(value) not in (str, int, float):
        raise _wrong(value, schema, path, walk)
    try:
        return quantity.canonical(value)
    except quantity.QuantityError as error:
        raise BadRequest(str(error)) from error


def _int_or_string(value: Any, schema: Schema, path: _Path, walk: _Walk) -> Any:
    if type(value) not in (str, int):
        raise _wrong(value, schema, path, walk)
    return value


def _time(value: Any, schema: Schema, path: _Path, walk: _Walk) -> Any:
    micro = schema.kind == "micro-time"
    if type(value) is not str:
        raise _wrong(value, schema, path, walk)
    if (_MICROS if micro else _SECONDS).fullmatch(value):
        return value
    try:
        if micro and not _FRACTION.search(value):
            raise ValueError("no six digits of a fraction")
        moment = meta.parse_time(value).astimezone(UTC)
    except ValueError as error:
        layout = "2006-01-02T15:04:05.000000Z07:00" if micro else "2006-01-02T15:04:05Z07:00"
        raise BadRequest(f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"') from error
    return meta.rfc3339(moment, micro=micro)


def _any(value: Any, schema: Schema, path: _Path, walk: _Walk) -> Any:
    return value


_CHECKS: dict[str, Callable[[Any, Schema, _Path, _Walk], Any]] = {
    "object": _object,
    "map": _map,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "quantity": _quantity,
    "int-or-string": _int_or_string,
    "time": _time,
    "micro-time": _time,
    "any": _any,
}


def _wrong(value: Any, schema: Schema, path: _Path, walk: _Walk) -> BadRequest:
    """The refusal of a value of a wrong type, naming the struct and the path without indices."""
    told = {bool: "bool", str: "string", list: "array", dict: "object"}.get(type(value), "number")
    if told == "number" and schema.kind == "integer":
        told = f"number {value}"
    fields = re.sub(r"\[\d+\]", "", path_text(path))
    owner, where = _owner(walk.root, path)
    return BadRequest(
        f"json: cannot unmarshal {told} into Go struct field {owner}.{where or fields} of type "
        f"{_type_name(schema)}"
    )


def _owner(root: Schema, path: _Path) -> tuple[str, str]:
    """The struct that holds the value, and the path to the value's field in it."""
    steps: list[str | int] = []
    while path is not None:
        path, step = path
        steps.append(step)
    schema: Schema | None = root
    owner, fields = root.short_name, [str(s) for s in reversed(steps) if isinstance(s, str)]
    shown: list[str] = []
    for field in fields:
        while schema is not None and schema.kind == "array":
            schema = schema.items
        if schema is None or schema.kind == "map":
            break
        owner = schema.short_name or owner
        shown.append(field)
        schema = schema.properties.get(field)
    return owner, ".".join(shown)


def _type_name(schema: Schema) -> str:
    match schema.kind:
        case "object":
            parts = schema.name.split(".")
            return ".".join(parts[-2:])
        case "array":
            return f"[]{_type_name(schema.items)}" if schema.items else "[]"
        case "map":
            return f"map[string]{_type_name(schema.items)}" if schema.items else "map[string]"
        case "integer":
            return schema.format or "int64"
        case "int-or-string":
            return "int32"
    return {"boolean": "bool", "number": "float64", "time": "string", "micro-time": "string"}.get(
        schema.kind, "string"
    )
