"""Strategic merge patch: a merge patch that knows, from the schema, which lists are maps in disguise.

Lists with strategy ``merge`` are merged by their merge key (or as sets of scalars); others are replaced.
Directives inside the patch override that: ``$patch`` (replace, delete, merge), ``$retainKeys``,
``$setElementOrder/FIELD`` and ``$deleteFromPrimitiveList/FIELD``.
"""

from __future__ import annotations

from collections.abc import Hashable
from copy import deepcopy
from typing import Any

from kdist.api.errors import BadRequest
from kdist.api.schema import ANY, Schema

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"

Obj = dict[str, Any]


def apply(document: Obj, patch: Obj, schema: Schema) -> Obj:
    """The patched document; the arguments stay as they are. Raises BadRequest for a malformed patch."""
    return _merge_map(deepcopy(document), deepcopy(patch), schema)


def _merge_map(original: Obj, patch: Obj, schema: Schema) -> Obj:
    match patch.pop(_PATCH, None):
        case None | "merge":
            pass
        case "replace":
            return dict(_without_directives(patch))
        case "delete":
            return {}
        case other:
            raise BadRequest(f"unknown patch type {other!r} found in map")
    _retain_keys(original, patch)
    orders = _take(patch, _ORDER)
    for field, values in _take(patch, _DELETE).items():
        if field in original:
            original[field] = [v for v in original[field] or () if v not in values]
    for field, value in patch.items():
        if value is None:
            original.pop(field, None)
            continue
        child = schema.child(field) or ANY
        original[field] = _merge_value(original.get(field), value, child, orders.pop(field, None))
    for field, order in orders.items():
        _only_reorder(original, field, order, schema.child(field) or ANY)
    return original


def _take(patch: Obj, prefix: str) -> dict[str, list[Any]]:
    found = [key for key in patch if key.startswith(prefix)]
    return {key.removeprefix(prefix): patch.pop(key) for key in found}


def _retain_keys(original: Obj, patch: Obj) -> None:
    retained = patch.pop(_RETAIN, None)
    if retained is None:
        return
    if not isinstance(retained, list) or any(key not in retained for key in patch if not key.startswith("$")):
        raise BadRequest("mapping keys of the patch have to be in its $retainKeys list")
    for key in [key for key in original if key not in retained]:
        del original[key]


def _merge_value(original: Any, value: Any, schema: Schema, order: list[Any] | None) -> Any:
    if isinstance(value, dict):
        if "replace" in schema.strategies or not isinstance(original, dict):
            return _merge_map({}, value, schema)
        return _merge_map(original, value, schema)
    if isinstance(value, list) and "merge" in schema.strategies:
        merged = _merge_list(original if isinstance(original, list) else [], value, schema)
        merged = _ordered(merged, original or [], _content(value), schema)
        if order is None:
            return merged
        _refuse_contradiction(value, order, schema)
        return _ordered(merged, original or [], order, schema)
    return _without_directives(value)


def _refuse_contradiction(patch: list[Any], order: list[Any], schema: Schema) -> None:
    """BadRequest when the items of a list patch are not in the order that the patch itself asks for."""

    def keys(items: list[Any]) -> list[Hashable]:
        return [_key(item, schema.merge_key) if schema.merge_key else item for item in items]

    told, wanted = keys(_content(patch)), iter(keys(order))
    if not all(key in wanted for key in told):  # each is looked for after the one before
        raise BadRequest(
            f"the items of the patch, {told}, are not in the order of its {_ORDER}: {keys(order)}"
        )


def _content(patch: list[Any]) -> list[Any]:
    """The items of a list patch that are content: their order counts where nothing else says."""
    return [item for item in patch if not (isinstance(item, dict) and _PATCH in item)]


def _without_directives(value: Any) -> Any:
    """A value that is taken whole: nulls and directives of its maps do not become content."""
    if isinstance(value, dict):
        return {k: _without_directives(v) for k, v in value.items() if v is not None and not _is_directive(k)}
    if isinstance(value, list):
        return [_without_directives(v) for v in value]
    return value


def _is_directive(key: str) -> bool:
    return key in (_PATCH, _RETAIN) or key.startswith((_ORDER, _DELETE))


def _merge_list(original: list[Any], patch: list[Any], schema: Schema) -> list[Any]:
    if not schema.merge_key:
        return list(dict.fromkeys([*original, *patch]))
    items = schema.items or ANY
    kept, changes = _apply_list_directives(list(original), patch, schema.merge_key)
    if changes is None:
        return [_merge_map({}, item, items) for item in kept]
    places = {_key(item, schema.merge_key): at for at, item in enumerate(kept)}
    for change in changes:
        key = _key(change, schema.merge_key)
        if key in places:
            kept[places[key]] = _merge_map(kept[places[key]], change, items)
        else:
            places[key] = len(kept)
            kept.append(_merge_map({}, change, items))
    return kept


def _apply_list_directives(
    original: list[Any], patch: list[Any], merge_key: str
) -> tuple[list[Any], list[Any] | None]:
    """What stays of the original, and the items of the patch that are content; None: the patch is the whole list.

    Then several items may have one key, as a node's addresses of two families do.
    """
    directives = [(i, i.get(_PATCH)) for i in patch if isinstance(i, dict) and _PATCH in i]
    changes = [i for i in patch if not (isinstance(i, dict) and _PATCH in i)]
    for item, directive in directives:
        if directive == "replace":
            return changes, None
        if directive == "delete":
            gone = _key(item, merge_key)
            original = [i for i in original if _key(i, merge_key) != gone]
        elif directive == "merge":
            changes.append({k: v for k, v in item.items() if k != _PATCH})
        else:
            raise BadRequest(f"unknown patch type {directive!r} found in list")
    return original, changes


def _key(item: Any, merge_key: str) -> Hashable:
    if not isinstance(item, dict) or merge_key not in item:
        raise BadRequest(f"map: {item} does not contain declared merge key: {merge_key}")
    value = item[merge_key]
    return value if isinstance(value, Hashable) else repr(value)


def _only_reorder(original: Obj, field: str, order: list[Any], schema: Schema) -> None:
    present = original.get(field)
    if isinstance(present, list) and "merge" in schema.strategies:
        original[field] = _ordered(present, present, order, schema)


def _ordered(merged: list[Any], before: list[Any], order: list[Any], schema: Schema) -> list[Any]:
    """Items named by the patch in its order; the server's own items keep their place among them."""

    def key(item: Any) -> Hashable:
        return _key(item, schema.merge_key) if schema.merge_key else item

    wanted = {key(item): at for at, item in enumerate(order)}
    place = {key(item): at for at, item in enumerate(before)}
    named = sorted((i for i in merged if key(i) in wanted), key=lambda i: wanted[key(i)])
    own = [i for i in merged if key(i) not in wanted]
    result: list[Any] = []
    for item in named:
        while own and key(item) in place and place.get(key(own[0]), 0) < place[key(item)]:
            result.append(own.pop(0))
        result.append(item)
    return result + own
