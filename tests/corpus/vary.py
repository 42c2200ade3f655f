"""Variations of an object: each changes one thing, and is named after it.

Every field is left out, emptied and given values that are at the edge or past it. Nobody has to know which of
them are valid: upstream's answer says so.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import orjson

Obj = dict[str, Any]
Path = tuple[str | int, ...]
LEFT_OUT = object()

_SAME = ("apiVersion", "kind", "metadata", "status")


def creations(obj: Obj) -> Iterator[tuple[str, Obj]]:
    """Objects to create instead of ``obj``."""
    for path, value in _places(obj):
        for other in (o for o in _others(value) if o != value):
            yield _told(path, other), _with(obj, path, other)


def changes(obj: Obj) -> Iterator[tuple[str, Obj]]:
    """Objects to put in the place of ``obj``, which is stored."""
    for path, value in _places(obj):
        for other in _successors(value):
            yield _told(path, other), _with(obj, path, other)


def _places(node: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every field below the root, outermost first; of a list only the first item."""
    if path:
        yield path, node
    if isinstance(node, dict):
        for key, value in node.items():
            if path or key not in _SAME:
                yield from _places(value, (*path, key))
    elif isinstance(node, list) and node:
        yield from _places(node[0], (*path, 0))


def _others(value: Any) -> list[Any]:
    match value:
        case bool():
            return [LEFT_OUT, not value]
        case int():
            return [LEFT_OUT, -1, 0, 1, 100_000] if value not in (0, 1) else [LEFT_OUT, -1, 0, 100_000]
        case str():
            return [LEFT_OUT, "", "Not valid!"]
        case list():
            return [LEFT_OUT, [], [*value, *value[:1]]]
        case dict():
            return [LEFT_OUT, {}]
    return [LEFT_OUT]


def _successors(value: Any) -> list[Any]:
    match value:
        case bool():
            return [LEFT_OUT, not value]
        case int():
            return [LEFT_OUT, value + 1]
        case str():
            return [LEFT_OUT, f"{value}x"]
        case list() if len(value) > 1:
            return [LEFT_OUT, value[1:]]
    return [LEFT_OUT]


def _with(obj: Obj, path: Path, value: Any) -> Obj:
    changed: Any = copy.deepcopy(obj)
    node = changed
    for step in path[:-1]:
        node = node[step]
    if value is LEFT_OUT:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return dict(changed)


def _told(path: Path, value: Any) -> str:
    where = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in path).removeprefix(".")
    if value is LEFT_OUT:
        return f"{where} left out"
    if isinstance(value, list) and value:
        return (
            f"{where} first repeated" if len(value) > 1 and value[0] == value[-1] else f"{where} first gone"
        )
    return f"{where} = {orjson.dumps(value).decode()}"
