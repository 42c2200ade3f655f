"""Server-side apply: merge what a manager wants into an object, refusing to take what others own."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from kdist.api import meta
from kdist.api.errors import BadRequest, Cause, Conflict, InternalError
from kdist.api.meta import Obj
from kdist.api.patch import fieldset, managed
from kdist.api.patch.fieldset import Path, Paths
from kdist.api.patch.managed import Entry, Manager, Managers
from kdist.api.schema import ANY, Schema


def apply(
    live: Obj,
    wanted: Obj,
    schema: Schema,
    *,
    manager: str,
    force: bool = False,
    subresource: str = "",
    now: str | None = None,
) -> Obj:
    """The object after ``manager`` applied ``wanted``; ``live`` is ``{}`` when there is none.

    What the manager applied before and does not want any more goes, unless others own it as well. Raises
    Conflict when a field of another manager would change and ``force`` is not set.
    """
    if (wanted.get("metadata") or {}).get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil")
    _refuse_duplicates(wanted, schema, ())
    me = Manager(manager, "Apply", wanted.get("apiVersion", ""), subresource)
    managers = managed.read(live.get("metadata") or {})
    last = managers.pop(me, Entry(set(), ""))
    mine = fieldset.fields_of(wanted, schema) - managed.UNOWNED - {()}
    merged = _merge(live, wanted, schema)
    difference = fieldset.compare(live, merged, schema)
    taken = difference.written - managed.UNOWNED
    conflicts = {m: e.paths & taken for m, e in managers.items() if e.paths & taken}
    if conflicts and not force:
        raise _conflict(conflicts, managers)
    for entry in managers.values():
        entry.paths -= taken
    dropped = _dropped(last.paths, mine, managers)
    result = _without(merged, schema, dropped, ())
    managers[me] = Entry(mine, last.time)
    changed = result != live or mine != last.paths
    if changed or not last.time:
        managers[me].time = now or meta.now()
    managed.write(result.setdefault("metadata", {}), managers)
    return dict(result)


def merged(live: Obj, wanted: Obj, schema: Schema) -> Obj:
    """``live`` with what ``wanted`` says, whoever owns it; neither is changed. InternalError for double items."""
    _refuse_duplicates(wanted, schema, ())
    result: Obj = _merge(live, wanted, schema)
    return result


def _refuse_duplicates(value: Any, schema: Schema, path: Path) -> None:
    """Two items of one key cannot have owners. InternalError, as upstream answers."""
    if not value or fieldset.is_atomic(schema):
        return
    seen: set[str] = set()
    for element, item, child in fieldset.children(value, schema):
        if element in seen:
            place, key = fieldset.text(path), fieldset.text((element,))
            raise InternalError(
                f"failed to create typed patch object: {place}: duplicate entries for key {key}"
            )
        seen.add(element)
        _refuse_duplicates(item, child, (*path, element))


def _merge(live: Any, wanted: Any, schema: Schema) -> Any:
    if fieldset.is_atomic(schema) or not live or type(live) is not type(wanted):
        return deepcopy(wanted)
    if isinstance(wanted, dict):
        merged = dict(live)
        for name, value in wanted.items():
            merged[name] = _merge(live.get(name), value, schema.child(name) or ANY)
        return merged
    return _merge_items(live, wanted, schema)


def _merge_items(live: list[Any], wanted: list[Any], schema: Schema) -> list[Any]:
    """Items that are there keep their place, new ones follow."""
    items = schema.items or ANY
    merged = list(live)
    places = {fieldset.item_element(item, schema): at for at, item in enumerate(live)}
    for item in wanted:
        element = fieldset.item_element(item, schema)
        if element in places:
            merged[places[element]] = _merge(live[places[element]], item, items)
        else:
            places[element] = len(merged)
            merged.append(deepcopy(item))
    return merged


def _dropped(last: Paths, mine: Paths, managers: Managers) -> Paths:
    """What the manager gives up and nobody else owns, parents included."""
    others = fieldset.with_parents(path for entry in managers.values() for path in entry.paths)
    return fieldset.with_parents(last) - fieldset.with_parents(mine) - others - managed.UNOWNED


def _without(value: Any, schema: Schema, dropped: Paths, path: Path) -> Any:
    if not dropped or fieldset.is_atomic(schema):
        return value
    if isinstance(value, dict):
        return {
            name: _without(item, schema.child(name) or ANY, dropped, (*path, f"f:{name}"))
            for name, item in value.items()
            if (*path, f"f:{name}") not in dropped
        }
    if isinstance(value, list):
        named = ((fieldset.item_element(item, schema), item) for item in value)
        return [
            _without(item, schema.items or ANY, dropped, (*path, element))
            for element, item in named
            if (*path, element) not in dropped
        ]
    return value


def _conflict(conflicts: dict[Manager, Paths], managers: Managers) -> Conflict:
    causes: list[Cause] = []
    told: list[str] = []
    for manager in sorted(conflicts, key=lambda m: m.name):
        words = _words(manager, managers[manager])
        fields = sorted(fieldset.text(path) for path in conflicts[manager])
        causes += [Cause(f, f"conflict with {words}", "FieldManagerConflict") for f in fields]
        if len(fields) == 1:
            told.append(f"conflict with {words}: {fields[0]}")
        else:
            told.append(f"conflicts with {words}:" + "".join(f"\n- {f}" for f in fields))
    number = "1 conflict" if len(causes) == 1 else f"{len(causes)} conflicts"
    return Conflict(f"Apply failed with {number}: " + "\n".join(told), causes=tuple(causes))


def _words(manager: Manager, entry: Entry) -> str:
    words = f'"{manager.name}"'
    if manager.subresource:
        words += f' with subresource "{manager.subresource}"'
    if manager.operation == "Update":
        words += f" using {manager.api_version}"
    return words
