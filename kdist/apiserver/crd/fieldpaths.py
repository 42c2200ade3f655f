"""The paths by which rules blame a field: ``.a.b``, ``.a['b c']``, checked against the schema. Pure."""

from __future__ import annotations

import re

from kdist.api.meta import Obj

_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\['(?P<quoted>(?:[^'\\]|\\.)*)'\]")
_ESCAPED = re.compile(r"\\(.)")
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'", "\\": "\\"}


def steps(path: str, schema: Obj) -> list[tuple[str, bool]]:
    """(name, whether it is a property) of each step. ValueError for a path that leads nowhere."""
    found: list[tuple[str, bool]] = []
    at, node = 0, schema
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            raise ValueError(f"expected [ or . but got: {path[at:]}")
        quoted = match["quoted"]
        name = match["name"] if quoted is None else _ESCAPED.sub(_unescaped, quoted)
        properties, values = node.get("properties"), node.get("additionalProperties")
        if properties and name in properties:
            node = properties[name]
        elif properties or not isinstance(values, dict):
            raise ValueError("does not refer to a valid field")
        else:
            node = values
        found.append((name, bool(properties)))
        at = match.end()
    return found


def _unescaped(match: re.Match[str]) -> str:
    if match[1] not in _ESCAPES:
        raise ValueError(f"invalid escape char {match[0]}")
    return _ESCAPES[match[1]]


def normalized(path: str, schema: Obj) -> str:
    """The path as causes tell it, with its first dot; empty when there is none or it leads nowhere."""
    try:
        found = steps(path, schema)
    except ValueError:
        return ""
    return "".join(f".{name}" if is_property else f"[{name}]" for name, is_property in found)
