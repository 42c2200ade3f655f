"""Whether the defaults of a schema are values of it: pruned, of the right type, with valid embedded objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.crd import shaping, values
from kdist.apiserver.crd.shaping import EMBEDDED
from kdist.apiserver.validation import causes

_ROOT_FIELDS = ("apiVersion", "kind", "metadata")


def check(document: Obj, path: str) -> list[Cause]:
    """Everything wrong with the defaults of a version's schema."""
    return list(_node({**document, EMBEDDED: True}, path))


def _node(schema: Obj, path: str) -> Iterator[Cause]:
    if schema.get("default") is not None:
        yield from _default(schema, f"{path}.default")
    # not below additionalProperties: there is no value to begin with
    if isinstance(schema.get("items"), dict):
        yield from _node(schema["items"], f"{path}.items")
    for field, child in (schema.get("properties") or {}).items():
        if not (schema.get(EMBEDDED) and field in _ROOT_FIELDS):
            yield from _node(child, f"{path}.properties[{field}]")


def _default(schema: Obj, path: str) -> Iterator[Cause]:
    value: Any = schema["default"]
    pruned = orjson.loads(orjson.dumps(value))
    shaping.prune_value(pruned, schema)
    if pruned != value:
        yield causes.invalid(path, value, "must not have unknown fields")
    wrong = values.check(value, schema, path)
    for cause in wrong:  # upstream tells the value's place only once
        yield replace(cause, message=cause.message.replace(f" {path} in body", "  in body", 1))
    if not wrong and b"x-kubernetes-validations" in orjson.dumps(schema):
        from kdist.apiserver.crd import rules

        tree = rules.compile_tree(schema, root=bool(schema.get(EMBEDDED)))
        # as a new value, and as one that replaces itself
        found = (
            [*rules.check(tree, value, value, path), *rules.check(tree, value, None, path)] if tree else []
        )
        yield from dict.fromkeys(found)
