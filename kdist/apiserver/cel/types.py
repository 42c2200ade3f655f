"""The declared types of variables, and how JSON values become values of them.

``DeclType`` carries what the type checker needs (fields, elements) and what the cost estimator needs (how large a
value may be). ``from_schema`` makes one of a structural OpenAPI v3 schema. Pure.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from kdist.apiserver.cel import values
from kdist.apiserver.cel.errors import EvaluationError
from kdist.apiserver.cel.escaping import escape, unescape

Kind = Literal[
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "timestamp",
    "duration",
    "null_type",
    "dyn",
    "list",
    "map",
    "object",
    "opaque",
    "optional",
    "type",
]
Schema = Mapping[str, Any]

# What one request can carry: the source of how large values may be that a schema does not bound.
MAX_REQUEST_BYTES = 3 * 1024 * 1024
UNBOUNDED = values.INT_MAX


@dataclass(frozen=True, eq=False)
class DeclType:
    """A type. ``fields`` are those of an object, by escaped name; ``element`` and ``key`` those of lists and maps.

    ``max_elements`` bounds ``size(value)`` (upstream counts scalars and the keys of maps as of no size);
    ``min_size`` is the least a value takes in JSON, in bytes. ``plain`` says that a JSON value of this type is used
    as it is; ``opaque`` and ``object`` types have a name.
    """

    kind: Kind
    name: str = ""
    element: DeclType | None = None
    key: DeclType | None = None
    fields: Mapping[str, DeclType] = field(default_factory=lambda: MappingProxyType({}))
    max_elements: int = 0
    min_size: int = 0
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    nullable: bool = False
    plain: bool = True


BOOL = DeclType("bool", min_size=4)
INT = DeclType("int", min_size=1)
UINT = DeclType("uint", min_size=1)
DOUBLE = DeclType("double", min_size=1, plain=False)
STRING = DeclType("string", min_size=2)
BYTES = DeclType("bytes", min_size=2, plain=False)
TIMESTAMP = DeclType("timestamp", min_size=21, plain=False)
DURATION = DeclType("duration", min_size=3, plain=False)
NULL = DeclType("null_type", min_size=4)
DYN = DeclType("dyn", min_size=1)
SIMPLE = {
    made.kind: made for made in (BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION, NULL, DYN)
}


def list_of(element: DeclType, max_elements: int = UNBOUNDED) -> DeclType:
    """A list type."""
    return DeclType("list", element=element, max_elements=max_elements, min_size=2, plain=element.plain)


def map_of(element: DeclType, max_elements: int = UNBOUNDED, key: DeclType = STRING) -> DeclType:
    """A map type; its keys are strings as in JSON."""
    plain = element.plain
    return DeclType("map", element=element, key=key, max_elements=max_elements, min_size=2, plain=plain)


def object_of(fields: Mapping[str, DeclType], name: str = "object") -> DeclType:
    """An object type; its fields are named as expressions name them."""
    plain = all(made.plain for made in fields.values())
    return DeclType("object", name=name, fields=fields, min_size=2, plain=plain)


def opaque(name: str) -> DeclType:
    """A type that only functions look into."""
    return DeclType("opaque", name=name)


def from_schema(schema: Schema, *, root: bool = False) -> DeclType | None:
    """The type of what a structural schema describes; None when expressions cannot see it.

    ``root`` (and embedded resources) have apiVersion, kind, metadata.name and metadata.generateName in any case.
    """
    made = _from_schema(schema, root)
    return made if made is None or not schema.get("nullable") else replace(made, nullable=True)


def _from_schema(schema: Schema, root: bool) -> DeclType | None:
    if schema.get("x-kubernetes-int-or-string"):
        return replace(DYN, max_elements=MAX_REQUEST_BYTES - 2)
    if root:
        schema = _with_metadata(schema)
    match schema.get("type"):
        case "array":
            return _array(schema)
        case "object":
            additional = schema.get("additionalProperties")
            return _map(schema, additional) if isinstance(additional, Mapping) else _object(schema)
        case "string":
            return _string(schema)
        case "boolean":
            return BOOL
        case "number":
            return DOUBLE
        case "integer":
            return INT
    return None


def _with_metadata(schema: Schema) -> Schema:
    text = {"type": "string"}
    properties = dict(schema.get("properties") or {})
    metadata = {"type": "object", "properties": {"name": text, "generateName": text}}
    return {**schema, "properties": {**properties, "kind": text, "apiVersion": text, "metadata": metadata}}


def _embedded(schema: Schema) -> DeclType | None:
    return from_schema(schema, root=bool(schema.get("x-kubernetes-embedded-resource")))


def _array(schema: Schema) -> DeclType | None:
    items = schema.get("items")
    element = _embedded(items) if isinstance(items, Mapping) else None
    if element is None:
        return None
    most = schema.get("maxItems")
    if most is None:
        most = (MAX_REQUEST_BYTES - 2) // (element.min_size + 1)
    list_type = schema.get("x-kubernetes-list-type") or ""
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
    made = list_of(element, max(int(most), 0))
    plain = made.plain and list_type not in ("set", "map")
    return replace(made, list_type=list_type, list_keys=keys, plain=plain)


def _map(schema: Schema, additional: Schema) -> DeclType | None:
    element = _embedded(additional)
    if element is None:
        return None
    most = schema.get("maxProperties")
    if most is None:
        most = (MAX_REQUEST_BYTES - 2) // (element.min_size + 6)
    return map_of(element, max(int(most), 0))


def _object(schema: Schema) -> DeclType:
    required = set(schema.get("required") or ())
    fields: dict[str, DeclType] = {}
    smallest = 2
    for name, prop in (schema.get("properties") or {}).items():
        made = _embedded(prop)
        if made is None:
            continue
        escaped = escape(name)
        if escaped is not None:
            fields[escaped] = made
        if name in required and prop.get("default") is None:
            smallest += len(name) + made.min_size + 4
    return replace(object_of(fields), min_size=smallest)


def _string(schema: Schema) -> DeclType:
    most = schema.get("maxLength")
    match schema.get("format"):
        case "byte":
            return replace(BYTES, max_elements=MAX_REQUEST_BYTES - 2 if most is None else max(most, 0))
        case "duration":
            return replace(DURATION, max_elements=32)
        case "date":
            return replace(TIMESTAMP, name="date", max_elements=12, min_size=12)
        case "date-time":
            return replace(TIMESTAMP, max_elements=32)
    if most is not None:
        return replace(STRING, max_elements=max(most, 0) * 4)  # bytes of that many code points
    if texts := [len(text.encode()) for text in schema.get("enum") or () if isinstance(text, str)]:
        return replace(STRING, max_elements=max(texts))
    return replace(STRING, max_elements=MAX_REQUEST_BYTES - 2)


def bind(value: Any, declared: DeclType) -> Any:
    """The CEL value of a JSON value. EvaluationError when it is none of the type."""
    if declared.plain or value is None:
        return value
    match declared.kind:
        case "double":
            return float(value) if type(value) in (int, float) else _misfit("float", value)
        case "list":
            return _bind_list(value, declared)
        case "map":
            assert declared.element is not None
            element = declared.element
            return {key: bind(part, element) for key, part in value.items()}
        case "object":
            return _bind_object(value, declared)
        case "bytes" | "timestamp" | "duration":
            return _bind_text(value, declared)
    return value


def _bind_list(value: list[Any], declared: DeclType) -> list[Any]:
    assert declared.element is not None
    element = declared.element
    made = value if element.plain else [bind(part, element) for part in value]
    if declared.list_type == "set":
        return values.SetList(made)
    return values.MapList(made, declared.list_keys) if declared.list_type == "map" else made


def _bind_object(value: dict[str, Any], declared: DeclType) -> dict[str, Any]:
    made = dict(value)
    for name, wanted in declared.fields.items():
        key = unescape(name)
        if not wanted.plain and made.get(key) is not None:
            made[key] = bind(made[key], wanted)
    return made


def _bind_text(value: Any, declared: DeclType) -> Any:
    if not isinstance(value, str):
        return _misfit("string", value)
    if declared.kind == "bytes":
        try:
            return base64.b64decode(value)
        except binascii.Error as error:
            raise EvaluationError(f"Invalid byte formatted string {value}: {error}") from error
    if declared.kind == "duration":
        made: Any = values.parse_duration(value)
    else:
        made = values.parse_date(value) if declared.name == "date" else values.parse_timestamp(value)
    if made is None:
        what = {"duration": "duration", "date": "date formatted string"}
        told = what.get(declared.name or declared.kind, "date-time formatted string")
        raise EvaluationError(f"Invalid {told} {value}")
    return made


def _misfit(wanted: str, value: Any) -> Any:
    raise EvaluationError(f"invalid data, expected {wanted}, got {values.type_name(value)}")
