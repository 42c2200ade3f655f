"""Request bodies: JSON or YAML text into objects, with the fieldValidation levels Ignore, Warn and Strict."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from kdist.api.errors import BadRequest, UnsupportedMediaType
from kdist.api.schema import Schema
from kdist.apiserver.validation.structure import conform

JSON = "application/json"
YAML = "application/yaml"
_UNKNOWN, _TWICE = "unknown field", "duplicate field"
SLOW_FROM = 64 * 1024  # bytes of YAML whose parsing would hold up other requests: give it a thread


@dataclass(slots=True)
class Body:
    """A decoded body, and what to tell of the fields that it names twice (the last one counts)."""

    value: Any
    duplicates: list[str] = field(default_factory=list)
    #: What could be told of a field → where it stands in the body; only of bodies that name a field twice.
    places: Mapping[str, int] = field(default_factory=dict)

    def in_order(self, told: list[str]) -> list[str]:
        """Complaints in the order of the body."""
        return sorted(told, key=lambda one: self.places.get(one, -1)) if self.places else told


def decode(body: bytes, media_type: str = JSON, *, find_duplicates: bool = True) -> Body:
    """Parse a body. Raises BadRequest for a syntax error, UnsupportedMediaType for other types."""
    if media_type == JSON or media_type.endswith("+json"):
        return _decode_json(body, find_duplicates)
    if media_type == YAML or media_type.endswith("+yaml"):
        return _decode_yaml(body)
    raise UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {JSON}, {YAML}"
    )


def _decode_json(body: bytes, find_duplicates: bool) -> Body:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"couldn't get version/kind; json parse error: {error}") from error
    # A compact body whose encoding has its length cannot have lost a key: saves the slow pass for most clients.
    try:
        encoded = orjson.dumps(value)
    except orjson.JSONEncodeError as error:  # it reads deeper than it writes
        raise BadRequest(
            f"couldn't get version/kind; json parse error: nested too deeply: {error}"
        ) from error
    if not find_duplicates or len(encoded) == len(body.rstrip()):
        return Body(value)
    repeated: dict[int, tuple[Any, list[str]]] = {}

    def remember(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            repeated[id(result)] = result, [key for key, _ in pairs]  # kept, so that no other has its id
        return result

    tracked = json.loads(body, object_pairs_hook=remember)
    if not repeated:
        return Body(value)
    places: dict[str, int] = {}
    for place, told in enumerate(_fields(tracked, {at: keys for at, (_, keys) in repeated.items()}, "")):
        places.setdefault(told, place)
    return Body(value, [told for told in places if told.startswith(_TWICE)], places)


def _fields(node: Any, repeated: Mapping[int, Sequence[str]], path: str) -> Iterator[str]:
    """Every field in the order of the body as a stranger, and again as a duplicate where it is named once more."""
    if isinstance(node, list):
        for at, item in enumerate(node):
            yield from _fields(item, repeated, f"{path}[{at}]")
    elif isinstance(node, dict):
        seen = set()
        for key in repeated.get(id(node), node):
            inner = f"{path}.{key}" if path else key
            if key in seen:
                yield f'{_TWICE} "{inner}"'
            else:
                seen.add(key)
                yield f'{_UNKNOWN} "{inner}"'
                yield from _fields(node[key], repeated, inner)


def _decode_yaml(body: bytes) -> Body:
    import yaml  # only for the rare client that sends YAML itself

    from kdist.apiserver.validation.strictyaml import load

    try:
        value, duplicates = load(body)
    except yaml.YAMLError as error:
        raise BadRequest(f"couldn't get version/kind; yaml parse error: {error}") from error
    told = "\n".join(f"  {each}" for each in duplicates)
    return Body(value, [f"yaml: unmarshal errors:\n{told}"] if duplicates else [])


def opening(kind: str, version: str) -> str:
    """How the refusal of a body begins."""
    return f'{kind} in version "{version}" cannot be handled as a {kind}: '


def read_object(
    body: Body, schema: Schema, *, kind: str, version: str, field_validation: str = "Warn", whole: bool = True
) -> tuple[dict[str, Any], list[str]]:
    """The conforming object and the warnings that its unknown and duplicate fields earn.

    ``kind`` and ``version`` are those the resource expects. Raises BadRequest for a wrong type, and at level
    Strict for any unknown or duplicate field.
    """
    if not isinstance(body.value, dict):
        told = "couldn't get version/kind; json parse error: not an object"
        raise BadRequest(f"the object provided is unrecognized (must be of type {kind}): {told}")
    try:
        unknown = conform(body.value, schema, whole=whole)
    except BadRequest as error:
        raise BadRequest(f"{opening(kind, version)}{error.message}") from error
    strangers = [f'{_UNKNOWN} "{path}"' for path in unknown]
    doubled = {f'{_TWICE} "{path}"' for path in unknown}  # told once, as unknown
    warnings = body.in_order([*(told for told in body.duplicates if told not in doubled), *strangers])
    if warnings and field_validation == "Strict":
        raise BadRequest(f"{opening(kind, version)}strict decoding error: {', '.join(warnings)}")
    return body.value, warnings if field_validation == "Warn" else []
