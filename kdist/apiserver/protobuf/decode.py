"""Protobuf bodies into the JSON objects that they stand for."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from kdist.api import meta
from kdist.api.errors import BadRequest
from kdist.apiserver.protobuf import wire

_MAGIC = b"k8s\x00"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZEROS: dict[str, Any] = {"string": "", "bool": False, "int": 0, "double": 0.0, "bytes": ""}


@dataclass(frozen=True, slots=True)
class _Field:
    name: str  # empty: an inlined struct
    shape: str  # "", "[]" or "{}"
    type: str
    omit_zero: bool


def decode(body: bytes) -> dict[str, Any]:
    """The object of a body: magic, envelope with apiVersion and kind, message. Raises BadRequest."""
    if not body.startswith(_MAGIC):
        raise BadRequest(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    try:
        envelope = dict(wire.fields(body[len(_MAGIC) :]))
        types = dict(wire.fields(_bytes(envelope.get(1, b""))))
        api_version, kind = _text(types.get(1, b"")), _text(types.get(2, b""))
        return {
            "kind": kind,
            "apiVersion": api_version,
            **_root(api_version, kind, _bytes(envelope.get(2, b""))),
        }
    except (ValueError, TypeError, OverflowError) as error:
        raise BadRequest(f"the protobuf body cannot be decoded: {error}") from error


def _root(api_version: str, kind: str, raw: bytes) -> dict[str, Any]:
    name = f"{api_version}.{kind}"
    if kind in ("DeleteOptions", "Status"):  # the same in every group
        name = f"meta.k8s.io/v1.{kind}"
    if name not in _table():
        raise BadRequest(f'no kind "{kind}" is registered for version "{api_version}"')
    return _message(name, raw)


@functools.cache
def _table() -> dict[str, str]:
    table: dict[str, str] = orjson.loads(Path(__file__).with_name("fields.json").read_bytes())
    return table


@functools.cache
def _fields(name: str) -> dict[int, _Field]:
    package = name.rpartition(".")[0]
    parsed = {}
    for text in filter(None, _table()[name].split(", ")):
        number, json_name, code = text.split(" ")
        shape = code[:2] if code[:2] in ("[]", "{}") else ""
        full = code[len(shape) :].removesuffix("?")
        parsed[int(number)] = _Field(json_name, shape, _full_name(full, package), code.endswith("?"))
    return parsed


def _full_name(short: str, package: str) -> str:
    """The table's short forms: ``.X`` is of the same package, ``meta.X`` and ``core.X`` of the shared ones."""
    for prefix, full in ((".", f"{package}."), ("meta.", "meta.k8s.io/v1."), ("core.", "v1.")):
        if short.startswith(prefix):
            return full + short.removeprefix(prefix)
    return short


def _message(name: str, raw: bytes) -> dict[str, Any]:
    known = _fields(name)
    result: dict[str, Any] = {}
    for number, value in wire.fields(raw):
        field = known.get(number)
        if field is None:
            continue
        if field.shape == "[]":
            result.setdefault(field.name, []).append(_value(field.type, value))
        elif field.shape == "{}":
            key, item = _pair(field.type, _bytes(value))
            result.setdefault(field.name, {})[key] = item
        elif not field.name:
            result.update(_message(field.type, _bytes(value)))
        else:
            decoded = _value(field.type, value)
            if decoded is None or (field.omit_zero and decoded == _ZEROS.get(field.type)):
                continue
            result[field.name] = decoded
    return result


def _pair(code: str, raw: bytes) -> tuple[str, Any]:
    pair = dict(wire.fields(raw))
    empty: wire.Value = 0 if code in ("int", "bool") else b""
    return _text(pair.get(1, b"")), _value(code, pair.get(2, empty))


def _value(code: str, value: wire.Value) -> Any:
    reader = _READERS.get(code)
    return reader(value) if reader is not None else _message(code, _bytes(value))


def _bytes(value: wire.Value) -> bytes:
    if isinstance(value, int):
        raise wire.WireError("expected a length-delimited field")
    return value


def _int(value: wire.Value) -> int:
    if not isinstance(value, int):
        raise wire.WireError("expected a varint")
    return wire.signed(value)


def _text(value: wire.Value) -> str:
    return _bytes(value).decode()


def _time(value: wire.Value) -> str | None:
    parts = dict(wire.fields(_bytes(value)))
    if not parts:  # the zero time, which JSON writes as null
        return None
    return meta.rfc3339(_EPOCH + timedelta(seconds=_int(parts.get(1, 0))))


def _micro_time(value: wire.Value) -> str | None:
    parts = dict(wire.fields(_bytes(value)))
    if not parts:
        return None
    moment = _EPOCH + timedelta(seconds=_int(parts.get(1, 0)), microseconds=_int(parts.get(2, 0)) // 1000)
    return meta.rfc3339(moment, micro=True)


def _int_or_string(value: wire.Value) -> int | str:
    parts = dict(wire.fields(_bytes(value)))
    return _text(parts.get(3, b"")) if parts.get(1, 0) == 1 else _int(parts.get(2, 0))


def _embedded_json(value: wire.Value) -> Any:
    """A message whose first field is JSON text."""
    raw = _bytes(dict(wire.fields(_bytes(value))).get(1, b""))
    if raw.startswith(_MAGIC):
        return decode(raw)
    return orjson.loads(raw) if raw else None


def _duration(value: wire.Value) -> str:
    nanoseconds = _int(dict(wire.fields(_bytes(value))).get(1, 0))
    return f"{nanoseconds / 1e9:g}s"


def _schema_or_list(value: wire.Value) -> Any:
    """JSONSchemaPropsOrArray: one schema or several."""
    found = list(wire.fields(_bytes(value)))
    several = [_schema(v) for number, v in found if number == 2]
    return several if several else _only(found)


def _schema_or_bool(value: wire.Value) -> Any:
    parts = dict(wire.fields(_bytes(value)))
    return _schema(parts[2]) if 2 in parts else bool(parts.get(1, 0))


def _schema_or_strings(value: wire.Value) -> Any:
    found = list(wire.fields(_bytes(value)))
    strings = [_text(v) for number, v in found if number == 2]
    return strings if strings else _only(found)


def _only(found: list[tuple[int, wire.Value]]) -> Any:
    return next((_schema(v) for number, v in found if number == 1), None)


def _schema(value: wire.Value) -> Any:
    return _message("apiextensions.k8s.io/v1.JSONSchemaProps", _bytes(value))


_READERS: dict[str, Callable[[wire.Value], Any]] = {
    "string": _text,
    "bool": lambda value: bool(_int(value)),
    "int": _int,
    "double": lambda value: wire.double(_bytes(value)),
    "bytes": lambda value: base64.b64encode(_bytes(value)).decode(),
    "time": _time,
    "microtime": _micro_time,
    "quantity": lambda value: _text(dict(wire.fields(_bytes(value))).get(1, b"")),
    "intstr": _int_or_string,
    "items": lambda value: [_text(v) for number, v in wire.fields(_bytes(value)) if number == 1],
    "fieldsv1": _embedded_json,
    "rawext": _embedded_json,
    "json": _embedded_json,
    "duration": _duration,
    "jsonschemapropsorarray": _schema_or_list,
    "jsonschemapropsorbool": _schema_or_bool,
    "jsonschemapropsorstringarray": _schema_or_strings,
}
