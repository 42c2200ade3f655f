"""metadata.managedFields: who set which field, kept on every write."""

from __future__ import annotations

from kdist.api.meta import Obj
from kdist.api.schema import Schema


def track_update(new: Obj, old: Obj | None, schema: Schema, manager: str, subresource: str) -> None:
    """Record what ``manager`` changed between ``old`` (None: created) and ``new``, in ``new``."""


def drop_unchanged_times(new: Obj, old: Obj) -> None:
    """Keep the recorded times of ``old`` when nothing else changed, so that a no-op write stays one."""
