"""Judge custom objects by their structural schemas, with the paths and words of upstream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.cel import patterns
from kdist.apiserver.cel.errors import EvaluationError
from kdist.apiserver.crd import formats
from kdist.apiserver.crd.definition import INT_OR_STRING
from kdist.apiserver.crd.shaping import EMBEDDED
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.metadata import validate_metadata

_NUMBERS = (int, float)


#: There is no old value, or no telling which it was.
UNKNOWN: Any = object()


def check(value: Any, schema: Obj, path: str = "", old: Any = UNKNOWN) -> list[Cause]:
    """Everything wrong with a value. What is as it was in ``old`` is not held against a write."""
    return list(_check(value, schema, path, old))


def kind_of(value: Any) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds[type(value)]


def _is(value: Any, wanted: str) -> bool:
    have = kind_of(value)
    if wanted == "number":
        return have in ("integer", "number")
    return have == wanted or (wanted == "integer" and have == "number" and float(value).is_integer())


def _check(value: Any, schema: Obj, path: str, old: Any = UNKNOWN) -> Iterator[Cause]:
    if (value is None and schema.get("nullable")) or (old is not UNKNOWN and value == old):
        return
    wanted = "integer,string" if schema.get(INT_OR_STRING) else schema.get("type") or ""
    if wanted and not any(_is(value, kind) for kind in wanted.split(",")):
        have = kind_of(value)
        told = f'{path or "<nil>"} in body must be of type {wanted}: "{have}"'
        yield Cause(path or "<nil>", f'Invalid value: "{have}": {told}', "FieldValueTypeInvalid")
        yield from _enumerated(value, schema, path)
        return
    yield from _enumerated(value, schema, path)
    if isinstance(value, str):
        yield from _string(value, schema, path)
    elif isinstance(value, _NUMBERS) and not isinstance(value, bool):
        yield from _number(value, schema, path)
    elif isinstance(value, list):
        yield from _array(value, schema, path, old)
    elif isinstance(value, dict):
        yield from _object(value, schema, path, old)
    yield from _combined(value, schema, path)


def _enumerated(value: Any, schema: Obj, path: str) -> Iterator[Cause]:
    if "enum" in schema and value not in schema["enum"]:
        yield causes.not_supported(path, value, schema["enum"])


def _wrong(path: str, value: Any, told: str) -> Cause:
    return causes.invalid(path, value, f"{path} in body {told}")


def _string(value: str, schema: Obj, path: str) -> Iterator[Cause]:
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        yield causes.too_long(path, schema["maxLength"])
    if "minLength" in schema and len(value) < schema["minLength"]:
        yield _wrong(path, value, f"should be at least {schema['minLength']} chars long")
    if pattern := schema.get("pattern"):
        yield from _pattern(value, pattern, path)
    format = schema.get("format") or ""
    if not formats.holds(format, value):
        told = f"{path} in body must be of type {format}: {causes.shown(value)}"
        yield Cause(path, f"Invalid value: {causes.shown(value)}: {told}", "FieldValueTypeInvalid")


def _pattern(value: str, pattern: str, path: str) -> Iterator[Cause]:
    """A pattern that does not compile was stored before definitions were judged as now: it fits nothing."""
    try:
        fits = patterns.compile(pattern).search(value)
    except EvaluationError as error:
        yield _wrong(path, value, f"should match '{pattern}, but pattern is invalid: {error}'")
        return
    if not fits:
        yield _wrong(path, value, f"should match '{pattern}'")


def _number(value: float, schema: Obj, path: str) -> Iterator[Cause]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and (value <= low if schema.get("exclusiveMinimum") else value < low):
        told = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield _wrong(path, value, f"should be {told} {low}")
    if high is not None and (value >= high if schema.get("exclusiveMaximum") else value > high):
        told = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield _wrong(path, value, f"should be {told} {high}")
    factor = schema.get("multipleOf")
    if factor and value % factor:
        yield _wrong(path, value, f"should be a multiple of {factor}")


def _array(value: list[Any], schema: Obj, path: str, old: Any) -> Iterator[Cause]:
    if "minItems" in schema and len(value) < schema["minItems"]:
        yield _wrong(path, value, f"should have at least {schema['minItems']} items")
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        yield causes.too_many(path, len(value), schema["maxItems"])
    items = schema.get("items")
    if isinstance(items, dict):
        before = _by_keys(old, schema)
        for at, item in enumerate(value):
            known = before.get(_identity(item, schema), UNKNOWN) if before else UNKNOWN
            yield from _check(item, items, f"{path}[{at}]", known)
    yield from _repeated(value, schema, path)


def _by_keys(old: Any, schema: Obj) -> dict[bytes, Any]:
    """The old items of a list with keys."""
    if not isinstance(old, list) or schema.get("x-kubernetes-list-type") != "map":
        return {}
    return {_identity(item, schema): item for item in old}


def _identity(item: Any, schema: Obj) -> bytes:
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    return orjson.dumps([item.get(key) for key in keys] if isinstance(item, dict) else item)


def _repeated(value: list[Any], schema: Obj, path: str) -> Iterator[Cause]:
    """Items of sets and keys of lists with keys are there once."""
    kind, seen = schema.get("x-kubernetes-list-type"), set()
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    if kind not in ("set", "map"):
        return
    for at, item in enumerate(value):
        if kind == "map" and not isinstance(item, dict):
            continue
        identity = {k: item[k] for k in keys if k in item} if kind == "map" else item
        token = orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)
        if token in seen:
            yield causes.duplicate(f"{path}[{at}]", identity)
        seen.add(token)


def _object(value: dict[str, Any], schema: Obj, path: str, old: Any) -> Iterator[Cause]:
    prefix = f"{path}." if path else ""
    for field in schema.get("required") or ():
        if field not in value:
            yield causes.required(f"{prefix}{field}")
    if "minProperties" in schema and len(value) < schema["minProperties"]:
        yield _wrong(path, value, f"should have at least {schema['minProperties']} properties")
    if "maxProperties" in schema and len(value) > schema["maxProperties"]:
        yield causes.too_many(path, len(value), schema["maxProperties"])
    if schema.get(EMBEDDED):
        yield from _embedded(value, prefix)
    properties, values = schema.get("properties") or {}, schema.get("additionalProperties")
    before: dict[str, Any] = old if isinstance(old, dict) else {}
    for field, item in value.items():
        child = properties.get(field, values)
        if isinstance(child, dict):
            yield from _check(item, child, f"{prefix}{field}", before.get(field, UNKNOWN))


def _embedded(value: dict[str, Any], prefix: str) -> Iterator[Cause]:
    """An object within the object says what it is; its metadata is that of an object."""
    for field in ("apiVersion", "kind"):
        if field not in value:
            yield causes.required(f"{prefix}{field}", "must not be empty")
        elif not isinstance(value[field], str):
            yield causes.invalid(f"{prefix}{field}", value[field], "must be a string")
        elif not value[field]:
            yield causes.invalid(f"{prefix}{field}", "", "must not be empty")
    version, kind = value.get("apiVersion"), value.get("kind")
    if isinstance(version, str) and version.count("/") > 1:
        told = f"unexpected GroupVersion string: {version}"
        yield causes.invalid(f"{prefix}apiVersion", version, told)
    if isinstance(kind, str) and kind and (told := "".join(names.dns_1035_label(kind.lower()))):
        yield causes.invalid(
            f"{prefix}kind", kind, f"may have mixed case, but should otherwise match: {told}"
        )
    metadata = value.get("metadata")
    if isinstance(metadata, dict):
        named = {**metadata, "name": metadata.get("name") or "fakename"}
        for cause in validate_metadata(
            named, namespaced=bool(metadata.get("namespace")), name_rule=names.path_segment
        ):
            yield Cause(prefix + cause.field, cause.message, cause.reason)


def _combined(value: Any, schema: Obj, path: str) -> Iterator[Cause]:
    """Junctors; of alternatives that all fail, the first one's faults are told as well."""
    if schema.get("allOf"):
        failed = [found for part in schema["allOf"] if (found := check(value, part, path))]
        for found in failed:
            yield from found
        if failed:
            none = ". None validated" if len(failed) == len(schema["allOf"]) else ""
            yield _junctor(f'"{path}" must validate all the schemas (allOf){none}')
    if schema.get("anyOf") and not any(_fits(value, part, path) for part in schema["anyOf"]):
        yield _junctor(f'"{path}" must validate at least one schema (anyOf)')
        yield from _check(value, schema["anyOf"][0], path)
    if schema.get("oneOf"):
        count = sum(_fits(value, part, path) for part in schema["oneOf"])
        found_text = "none valid" if not count else f"{count} valid alternatives"
        if count != 1:
            yield _junctor(f'"{path}" must validate one and only one schema (oneOf). Found {found_text}')
        if not count:
            yield from _check(value, schema["oneOf"][0], path)
    if schema.get("not") and _fits(value, schema["not"], path):
        yield _junctor(f'"{path}" must not validate the schema (not)')


def _junctor(told: str) -> Cause:
    return causes.invalid("<nil>", "", told)


def _fits(value: Any, schema: Obj, path: str) -> bool:
    return next(_check(value, schema, path), None) is None
