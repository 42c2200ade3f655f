"""Which fields an object has, and which fields differ between two: sets of paths, by the schema's list types.

A path is a tuple of elements in the form that managedFields uses: ``f:NAME`` for a field or map key,
``k:{"name":"x"}`` for an item of a list with keys, ``v:"x"`` for an item of a set. What the schema calls atomic
(and everything it says nothing about) is one field, however deep its value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from kdist.api.schema import ANY, Schema

Path = tuple[str, ...]
Paths = set[Path]

# Keys of list items that a user may leave out because they have a default.
_KEY_DEFAULTS = {"protocol": "TCP"}
_MISSING: Any = object()


def is_atomic(schema: Schema) -> bool:
    """Whether the value belongs to one manager as a whole."""
    if schema.kind == "array":
        return schema.list_type not in ("map", "set")
    if schema.kind in ("object", "map"):
        return schema.map_type == "atomic"
    return True


def item_element(item: Any, schema: Schema) -> str:
    """The path element of an item of a list of type map or set."""
    if schema.list_type == "set" or not isinstance(item, dict):
        return f"v:{orjson.dumps(item, option=orjson.OPT_SORT_KEYS).decode()}"
    if len(schema.list_keys) == 1 and isinstance(value := item.get(schema.list_keys[0]), str):
        return _named_element(schema.list_keys[0], value)
    keys = {k: item.get(k, _KEY_DEFAULTS.get(k)) for k in schema.list_keys}
    found = {k: v for k, v in keys.items() if v is not None}
    return f"k:{orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode()}"


@lru_cache(maxsize=4096)
def _named_element(key: str, value: str) -> str:
    """The element of an item with one key; the same few names come again and again."""
    return f"k:{orjson.dumps({key: value}).decode()}"


def children(value: Any, schema: Schema) -> Iterator[tuple[str, Any, Schema]]:
    """(element, value, type) of everything directly inside a value that is not atomic."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield f"f:{name}", item, schema.child(name) or ANY
    elif isinstance(value, list):
        for item in value:
            yield item_element(item, schema), item, schema.items or ANY


def fields_of(value: Any, schema: Schema, path: Path = (), *, containers: bool = False) -> Paths:
    """The paths of a value's leaves and list items; ``containers`` adds what holds others itself."""
    if is_atomic(schema) or not value:
        return {path}
    found: Paths = set()
    if containers and path:
        found.add(path)
    for element, item, child in children(value, schema):
        below = (*path, element)
        if schema.kind != "object":
            found.add(below)
        found |= fields_of(item, child, below, containers=containers)
    return found


@dataclass(slots=True)
class Difference:
    """What happened between two values."""

    added: Paths = field(default_factory=set)
    modified: Paths = field(default_factory=set)
    removed: Paths = field(default_factory=set)

    @property
    def written(self) -> Paths:
        """Fields that have a new value."""
        return self.added | self.modified


def compare(old: Any, new: Any, schema: Schema) -> Difference:
    """The fields that differ between two objects of one type."""
    found = Difference()
    _compare(old, new, schema, (), found)
    return found


def _compare(old: Any, new: Any, schema: Schema, path: Path, found: Difference) -> None:
    if old is _MISSING:
        found.added |= fields_of(new, schema, path, containers=True)
    elif new is _MISSING:
        found.removed |= fields_of(old, schema, path, containers=True)
    elif old == new:
        return
    elif is_atomic(schema) or type(old) is not type(new):
        found.modified.add(path)
    else:
        before = {e: item for e, item, _ in children(old, schema)}
        after = {e: (item, child) for e, item, child in children(new, schema)}
        types = {e: child for e, _, child in children(old, schema)}
        for element in before.keys() | after.keys():
            item, child = after.get(element, (_MISSING, types.get(element, ANY)))
            below = (*path, element)
            _compare(before.get(element, _MISSING), item, child, below, found)
            _whole_items(before, after, element, below, schema, found)


def _whole_items(
    before: dict[str, Any], after: dict[str, Any], element: str, path: Path, schema: Schema, found: Difference
) -> None:
    """Items of lists and maps are fields themselves, besides what is in them."""
    if schema.kind == "object":
        return
    if element not in before:
        found.added.add(path)
    elif element not in after:
        found.removed.add(path)


def with_parents(paths: Iterable[Path]) -> Paths:
    """The paths and everything above them."""
    return {path[:length] for path in paths for length in range(1, len(path) + 1)}


# ----- FieldsV1


def tree(value: Any, schema: Schema, *, apart: bool = False) -> dict[str, Any]:
    """``encode`` of all that the creator of a value sets, in one walk: sets of paths were a third of a creation.

    What even an empty object of the type has (:attr:`Schema.emits`, and lists that it ``keeps``) is not set by
    creating one, but what is in it is. Everything else, which is ``apart``, is a field itself besides what is in it.
    """
    if not value or is_atomic(schema):
        return {}
    if isinstance(value, list):
        return _list_tree(value, schema, apart=apart)
    node: dict[str, Any] = {".": {}} if apart else {}
    for name in sorted(value):
        item = value[name]
        child = schema.child(name) if isinstance(item, dict | list) else None
        if apart or not is_inherent(name, child, schema):
            node["f:" + name] = {} if child is None else tree(item, child, apart=True)
        elif (item and (child is None or is_atomic(child))) or (item == [] and name not in schema.emits):
            node["f:" + name] = {}  # an empty list that the client sent is not the null of an empty object
        elif item and child is not None and (below := tree(item, child)):
            node["f:" + name] = below
    return node


def is_inherent(name: str, child: Schema | None, parent: Schema) -> bool:
    """Whether an object whose client sets nothing has the field, empty."""
    if child is not None and child.kind in ("array", "map") and name in parent.keeps:
        return True
    return name in parent.emits or (name == "metadata" and "kind" in parent.properties)


def _list_tree(items: list[Any], schema: Schema, *, apart: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    of_items = schema.items or ANY
    for item in items:
        element, below = item_element(item, schema), tree(item, of_items, apart=True)
        if element in found:  # named twice: one element with the fields of both
            below = encode(decode(found[element]) | decode(below))
        found[element] = below
    return {**({".": {}} if apart else {}), **{element: found[element] for element in sorted(found)}}


def encode(paths: Paths) -> dict[str, Any]:
    """FieldsV1: a tree, in which ``.`` marks a node that is in the set besides its children."""
    root: dict[str, Any] = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
    for path in paths:
        node = root
        for element in path:
            node = node[element]
        if node:
            node["."] = {}
    return _sorted(root)


def _sorted(node: dict[str, Any]) -> dict[str, Any]:
    return {key: _sorted(node[key]) for key in sorted(node)}


def decode(tree: dict[str, Any], path: Path = ()) -> Paths:
    """The set that a FieldsV1 tree stands for."""
    found: Paths = set()
    for element, below in tree.items():
        here = (*path, element)
        if element == ".":
            found.add(path)
        elif below:
            found |= decode(below, here)
        else:
            found.add(here)
    return found


def is_tree(node: Any) -> bool:
    """Whether a value that somebody sent is a FieldsV1 tree."""
    if not isinstance(node, dict):
        return False
    return all((element == "." or _is_element(element)) and is_tree(below) for element, below in node.items())


def _is_element(element: str) -> bool:
    kind, colon, rest = element.partition(":")
    if kind == "f":
        return bool(colon)
    if kind == "i":
        return rest.removeprefix("-").isdecimal()
    try:
        value = orjson.loads(rest)
    except orjson.JSONDecodeError:
        return False
    return kind == "v" or (kind == "k" and isinstance(value, dict))


def text(path: Path) -> str:
    """A path as messages show it: ``.spec.containers[name="x"].image``."""
    parts: list[str] = []
    for element in path:
        kind, _, rest = element.partition(":")
        if kind == "f":
            parts.append(f".{rest}")
        elif kind == "k":
            shown = (f"{k}={orjson.dumps(v).decode()}" for k, v in orjson.loads(rest).items())
            parts.append(f"[{','.join(shown)}]")
        elif kind == "i":
            parts.append(f"[{rest}]")
        else:
            parts.append(f"[={rest}]")
    return "".join(parts)
