"""Bring the default objects into being and keep the default policy complete.

Missing objects are created. Of roles and bindings that an administrator changed, what is missing is put
back and what was added stays; the annotation ``autoupdate: "false"`` exempts an object.
"""

from __future__ import annotations

import copy

from kdist.api import meta
from kdist.api.errors import AlreadyExists, Conflict, NotFound
from kdist.apiserver.authz.rules import missing, parse_rules
from kdist.apiserver.bootstrap.notation import AUTOUPDATE
from kdist.apiserver.bootstrap.objects import default_objects, kind_of
from kdist.apiserver.ports import Obj, Writer
from kdist.telemetry import log

_log = log.get(__name__)
# Several servers of a new cluster start at once and meet on the same objects.
ATTEMPTS = 5


def completed(present: Obj, wanted: Obj) -> Obj | None:
    """``present`` with what it lacks of ``wanted``; None when it lacks nothing or wants no help."""
    if meta.annotations(present).get(AUTOUPDATE) == "false":
        return None
    result = copy.deepcopy(present)
    if "rules" in wanted and "aggregationRule" not in wanted:
        lacking = missing(parse_rules(present), parse_rules(wanted))
        result["rules"] = [*(present.get("rules") or ()), *(rule.as_api() for rule in lacking)]
    if "subjects" in wanted:
        subjects = present.get("subjects") or []
        result["subjects"] = subjects + [s for s in wanted["subjects"] if s not in subjects]
    labels = wanted["metadata"].get("labels")
    if labels:
        result["metadata"]["labels"] = {**meta.labels(present), **labels}
    return result if _differs(result, present) else None


def _differs(result: Obj, present: Obj) -> bool:
    if meta.labels(result) != meta.labels(present):
        return True
    return any((result.get(field) or []) != (present.get(field) or []) for field in ("rules", "subjects"))


async def ensure_defaults(writer: Writer) -> None:
    """Create and complete every default object. Raises the writer's ApiError when storage fails."""
    for wanted in default_objects():
        await ensure(writer, wanted)


async def ensure(writer: Writer, wanted: Obj) -> None:
    """Create or complete one object; a race with another server is tried again."""
    kind = kind_of(wanted)
    namespace = meta.namespace(wanted) or None
    for _ in range(ATTEMPTS):
        try:
            present = await writer.get(kind, namespace, meta.name(wanted))
            update = completed(present, wanted)
            if update is not None:
                await writer.update(kind, update)
                _log.info("completed default object", kind=kind.kind, key=meta.key(wanted))
            return
        except NotFound:
            try:
                await writer.create(kind, copy.deepcopy(wanted))
                return
            except AlreadyExists:
                continue
        except Conflict:
            continue
    _log.warning(
        "gave up on a default object that others keep changing", kind=kind.kind, key=meta.key(wanted)
    )
