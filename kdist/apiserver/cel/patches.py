"""The objects that expressions of mutating policies make: ``Object.spec{replicas: 3}`` and ``JSONPatch{op: "add"}``.

Upstream takes any field of an Object as dynamic. The type checker here wants every type declared, so the text is
looked through for what it makes, and exactly that is declared. Types are named by where they stand (``Object.spec``),
with the dots replaced, as a protobuf message cannot have a field and a type of one name.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kdist.apiserver.cel import values
from kdist.apiserver.cel.errors import EvaluationError
from kdist.apiserver.cel.library.conversions import to_string
from kdist.apiserver.cel.types import DYN, STRING, DeclType, object_of
from kdist.apiserver.cel.values import Struct

OBJECT, JSON_PATCH = "Object", "JSONPatch"
PATCH_FIELDS = {"op": STRING, "path": STRING, "from": STRING, "value": DYN}
_TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*)
    |(?P<text>[rRbB]{0,2}(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<name>[A-Za-z_]\w*)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(slots=True)
class Made:
    """What an expression makes: its text with the types' names as declared, and the types."""

    text: str
    types: list[DeclType] = field(default_factory=list)


def declared(expression: str) -> Made:
    """The types of an expression. Pure; an expression that is not well formed declares what can be told."""
    fields: dict[str, set[str]] = {OBJECT: set()}
    text = list(expression)
    open_: list[str | None] = []  # of each bracket that is open the type that it makes, if any
    path: list[str] = []
    dots: list[int] = []
    before = ""
    tokens = [*_tokens(expression), ("other", "", len(expression))]
    for (kind, token, at), following in zip(tokens, [*tokens[1:], ("other", "", 0)], strict=True):
        if kind == "name" and (before == "." and path):
            path.append(token)
        elif kind == "name":
            if following[1] == ":" and open_ and open_[-1] in fields and before in ("{", ",", "?"):
                fields[open_[-1] or ""].add(token)
            path, dots = ([token], []) if token == OBJECT and before != "." else ([], [])
        elif token == "." and path:
            dots.append(at)
        else:
            if token == "{" and path:
                name = ".".join(path)
                fields.setdefault(name, set())
                for dot in dots:
                    text[dot] = "_"
                open_.append(name)
            elif token in ("{", "(", "["):
                open_.append(None)
            elif token in ("}", ")", "]") and open_:
                open_.pop()
            path, dots = [], []
        before = token
    made = [object_of(dict.fromkeys(names, DYN), name) for name, names in fields.items()]
    return Made("".join(text), [*made, object_of(PATCH_FIELDS, JSON_PATCH)])


def _tokens(expression: str) -> Iterator[tuple[str, str, int]]:
    for found in _TOKEN.finditer(expression):
        if found.lastgroup != "skip":
            yield str(found.lastgroup), found.group(), found.start()


def misplaced(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with the types of nested Objects: each has to be the one of its place."""
    if isinstance(value, Struct):
        wanted, have = ".".join(path), value.name.replace("_", ".")
        if value.name != "_".join(path):
            yield (
                f'unexpected type name "{have}", expected "{wanted}", which matches field name path from root '
                "Object type"
            )
        for name, inner in value.fields.items():
            yield from misplaced(inner, (*path, name))
    elif isinstance(value, list):
        for inner in value:
            yield from misplaced(inner, path)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from misplaced(inner, path)


def to_json(value: Any) -> Any:
    """A value as JSON has it. EvaluationError for what JSON does not have."""
    match value:
        case Struct():
            return {name: to_json(inner) for name, inner in value.fields.items()}
        case list():
            return [to_json(inner) for inner in value]
        case dict():
            if any(not isinstance(key, str) for key in value):
                raise EvaluationError("a map whose keys are not all strings cannot be made JSON")
            return {key: to_json(inner) for key, inner in value.items()}
        case bytes():
            return base64.b64encode(value).decode()
        case None | bool() | int() | float() | str():
            return value
        case values.Timestamp() | values.Duration():
            return to_string(value)
    raise EvaluationError(f"a value of type {values.type_name(value)} cannot be made JSON")
