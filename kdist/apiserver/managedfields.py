"""metadata.managedFields on ordinary writes: who set which field. The rules are :mod:`kdist.api.patch.managed`'s."""

from __future__ import annotations

from kdist.api.meta import Obj
from kdist.api.patch import managed
from kdist.api.schema import Schema

_STATUS = ("status",)


def track_create(
    obj: Obj, schema: Schema, manager: str, *, has_status: bool, resets: tuple[str, ...] = ()
) -> None:
    """Record that ``manager`` has set what is in ``obj``, but for a status, which no creation sets, and ``resets``."""
    managed.track_update(obj, None, schema, manager, "", reset=(*(_STATUS if has_status else ()), *resets))


def track_update(
    new: Obj,
    old: Obj,
    schema: Schema,
    manager: str,
    subresource: str,
    *,
    has_status: bool,
    resets: tuple[str, ...] = (),
) -> None:
    """Record what ``manager`` changed between ``old`` and ``new``, in ``new``.

    A status of its own is none of the main resource's business, and nothing else that of a write of the status;
    ``resets`` are what a resource keeps from such a write besides.
    """
    reset: tuple[str, ...] = _STATUS if has_status and not subresource else ()
    if subresource == "status":
        reset = tuple({*new, *old} - {"apiVersion", "kind", "metadata", "status"})
    managed.track_update(new, old, schema, manager, subresource, reset=(*reset, *resets))


def drop_unchanged_times(new: Obj, old: Obj) -> None:
    """Keep the recorded managers of ``old`` when nothing but times differs, so that a no-op write stays one."""
    entries, before = (o["metadata"].get("managedFields") for o in (new, old))
    if entries and before and _timeless(entries) == _timeless(before):
        new["metadata"]["managedFields"] = before


def _timeless(entries: list[Obj]) -> list[Obj]:
    return [{k: v for k, v in entry.items() if k != "time"} for entry in entries]
