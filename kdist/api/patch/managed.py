"""metadata.managedFields: which manager set which field, kept on every write.

An entry stands for one manager in one role: its name, operation (Apply or Update), version and subresource.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import orjson

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.api.patch import fieldset
from kdist.api.patch.fieldset import Paths
from kdist.api.recall import Recall
from kdist.api.schema import Schema

_MAX_UPDATERS = 10
_OPERATIONS = ("Apply", "Update")
_ANCIENT = "ancient-changes"
# Fields of every object that nobody owns.
_UNOWNED_METADATA = (
    "name",
    "namespace",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
)
UNOWNED: Paths = {
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(("f:metadata", f"f:{name}") for name in _UNOWNED_METADATA),
}


_SPEC_TREES: Recall[bytes] = Recall()


@dataclass(frozen=True, slots=True)
class Manager:
    """Who, and in which role."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""


@dataclass(slots=True)
class Entry:
    """What a manager owns, and since when."""

    paths: Paths
    time: str


Managers = dict[Manager, Entry]


def read(metadata: Obj) -> Managers:
    """The managers of an object; entries that make no sense are left out."""
    found: Managers = {}
    for entry in metadata.get("managedFields") or ():
        if not entry.get("operation") or entry.get("fieldsType", "FieldsV1") != "FieldsV1":
            continue
        manager = Manager(
            entry.get("manager", ""),
            entry["operation"],
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
        )
        found[manager] = Entry(fieldset.decode(entry.get("fieldsV1") or {}), entry.get("time", ""))
    return found


def write(metadata: Obj, managers: Managers) -> None:
    """Put the managers into metadata; those who own nothing go."""
    kept = {m: e for m, e in managers.items() if e.paths}
    ordered = sorted(
        kept.items(), key=lambda item: (item[0].operation != "Apply", item[1].time, item[0].name)
    )
    metadata["managedFields"] = [_encode(manager, entry) for manager, entry in ordered]
    if not ordered:
        del metadata["managedFields"]


def _encode(manager: Manager, entry: Entry) -> Obj:
    return _entry(manager, entry.time, fieldset.encode(entry.paths))


def _entry(manager: Manager, time: str, fields: Obj) -> Obj:
    encoded: Obj = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    if not time:  # an entry of a client's own making
        del encoded["time"]
    if manager.subresource:
        encoded["subresource"] = manager.subresource
    return encoded


def track_update(
    new: Obj,
    old: Obj | None,
    schema: Schema,
    manager: str,
    subresource: str,
    now: str | None = None,
    *,
    reset: Collection[str] = (),
) -> None:
    """Record in ``new`` what ``manager`` changed between ``old`` (None: created) and ``new``.

    ``reset`` are the fields of the whole object, or of one of its fields (``status.conditions``), that such a write
    does not set, whatever it says.
    A client that sends managedFields of its own replaces them, and clears them with one empty entry.
    """
    metadata = new.setdefault("metadata", {})
    before = (old or {}).get("metadata") or {}
    sent = _sent(metadata, before)
    if old is None and not sent and schema.kind == "object":
        creator = Manager(manager, "Update", new.get("apiVersion", ""), subresource)
        _own_everything(new, schema, creator, now, reset)
        return
    if old is not None and not sent and not before.get("managedFields"):
        return  # nobody ever owned anything: that begins with a creation or with an apply
    managers = read({"managedFields": sent}) if sent else read(before)
    if sent == [{}]:
        managers = {}
    difference = fieldset.compare(_content(old or {}, reset), _content(new, reset), schema)
    if old is not None and not difference.written and not difference.removed:
        _restore(metadata, before, sent)
        return
    me = Manager(manager, "Update", new.get("apiVersion", ""), subresource)
    mine = managers.pop(me, Entry(set(), ""))
    _take_from_others(managers.values(), difference.written | difference.removed)
    owned = (mine.paths | difference.written) - difference.removed - UNOWNED
    managers[me] = Entry(owned, mine.time if owned == mine.paths and mine.time else now or meta.now())
    write(metadata, _capped(managers))


def _own_everything(
    new: Obj, schema: Schema, creator: Manager, now: str | None, reset: Collection[str]
) -> None:
    """The plain creation: its one manager has set all there is."""
    content = _content(new, reset)
    spec, of_spec = content.pop("spec", None), schema.child("spec")
    owned = fieldset.tree(content, schema)
    if spec is not None:
        apart = not fieldset.is_inherent("spec", of_spec, schema)
        below = _spec_tree(spec, of_spec, apart=apart) if of_spec is not None else {}
        if below or apart:
            owned["f:spec"] = below
            owned = dict(sorted(owned.items()))
    if not owned.get("f:metadata", True):
        del owned["f:metadata"]
    new["metadata"].pop("managedFields", None)
    if owned:
        new["metadata"]["managedFields"] = [_entry(creator, now or meta.now(), owned)]


def _spec_tree(spec: Any, schema: Schema, *, apart: bool) -> Obj:
    """The tree of a spec, which is often that of a template; the caller's own copy."""
    found: Obj = orjson.loads(
        _SPEC_TREES.of(spec, lambda: orjson.dumps(fieldset.tree(spec, schema, apart=apart)), about=schema)
    )
    return found


def _sent(metadata: Obj, before: Obj) -> list[Any] | None:
    """The managedFields of a write; those that cannot be read leave the stored ones as they are."""
    sent: list[Any] | None = metadata.get("managedFields")
    have = before.get("managedFields")
    if not sent or sent == have or sent == [{}] or all(_readable(entry) for entry in sent):
        return sent
    metadata.pop("managedFields")
    if have:
        metadata["managedFields"] = deepcopy(have)
    return have


def _readable(entry: Obj) -> bool:
    known = entry.get("operation") in _OPERATIONS and entry.get("fieldsType") == "FieldsV1"
    return known and fieldset.is_tree(entry.get("fieldsV1") or {})


def _restore(metadata: Obj, before: Obj, sent: list[Any] | None) -> None:
    """Nothing but perhaps managedFields was written."""
    if sent == [{}]:
        metadata.pop("managedFields", None)
    elif not sent and "managedFields" in before:
        metadata["managedFields"] = deepcopy(before["managedFields"])


def _content(obj: Obj, reset: Collection[str]) -> Obj:
    """The object without what nobody owns."""
    metadata = {k: v for k, v in (obj.get("metadata") or {}).items() if k not in _UNOWNED_METADATA}
    content = {k: v for k, v in obj.items() if k not in ("apiVersion", "kind", "metadata") and k not in reset}
    for head, _, field in (path.partition(".") for path in reset if "." in path):
        if field in (content.get(head) or ()):
            content[head] = {k: v for k, v in content[head].items() if k != field}
    return {**content, "metadata": metadata} if metadata else content


def _take_from_others(entries: Iterable[Entry], paths: Paths) -> None:
    for entry in entries:
        entry.paths -= paths


def _capped(managers: Managers) -> Managers:
    """Only so many updaters are told apart; the oldest share one entry."""
    updaters = sorted((m for m in managers if m.operation == "Update"), key=lambda m: managers[m].time)
    excess = len(updaters) - _MAX_UPDATERS
    if excess <= 0:
        return managers
    for manager in updaters[: excess + 1]:
        entry = managers.pop(manager)
        ancient = managers.setdefault(
            Manager(_ANCIENT, "Update", manager.api_version), Entry(set(), entry.time)
        )
        ancient.paths |= entry.paths
        ancient.time = max(ancient.time, entry.time)
    return managers
