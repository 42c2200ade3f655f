"""Keeps the flow control objects of every cluster as they should be, and says which schemas dangle.

Mandatory objects always have upstream's spec. Suggested ones have it for as long as their annotation
``apf.kubernetes.io/autoupdate-spec`` says true; an administrator takes one over by setting it to false. Without a
usable annotation the server decides by the generation: a spec that was never changed is its own.
"""

from __future__ import annotations

import copy

from kdist.api import meta
from kdist.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kdist.api.meta import Obj
from kdist.apiserver.flowcontrol import defaults
from kdist.apiserver.flowcontrol.defaults import AUTOUPDATE, LEVELS, SCHEMAS
from kdist.apiserver.ports import Reader, Writer
from kdist.telemetry import log

_log = log.get(__name__)
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "t": True, "T": True, "1": True}
_BOOLEANS |= {"false": False, "False": False, "FALSE": False, "f": False, "F": False, "0": False}


def revised(present: Obj, wanted: Obj, *, mandatory: bool) -> Obj | None:
    """``present`` as it should be; None when it is."""
    said = _BOOLEANS.get(meta.annotations(present).get(AUTOUPDATE, ""))
    ours = mandatory or (said if said is not None else present["metadata"].get("generation") == 1)
    outdated = ours and not _same_spec(present["spec"], wanted["spec"])
    if not outdated and said is ours:
        return None
    new = copy.deepcopy(present)
    if outdated:
        new["spec"] = copy.deepcopy(wanted["spec"])
        if mandatory and present["spec"].get("type") == "Exempt":  # the one part that is the administrator's
            new["spec"]["exempt"] = present["spec"].get("exempt") or wanted["spec"]["exempt"]
    new["metadata"].setdefault("annotations", {})[AUTOUPDATE] = str(bool(ours)).lower()
    return new


def _same_spec(present: Obj, wanted: Obj) -> bool:
    if wanted.get("type") == "Exempt":
        return present.get("type") == "Exempt" and not present.get("limited")
    return present == wanted


def dangling(schema: Obj, levels: set[str], now: str) -> Obj | None:
    """The schema with its condition Dangling brought up to date; None when it is."""
    level = meta.get(schema, "spec.priorityLevelConfiguration.name", "")
    about = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
    wanted = (
        ("False", "Found", f"{about} and it exists")
        if level in levels
        else ("True", "NotFound", f"{about} but there is no such object")
    )
    conditions = meta.get(schema, "status.conditions", None) or []
    held: Obj = next((c for c in conditions if c.get("type") == "Dangling"), {})
    if (held.get("status"), held.get("reason"), held.get("message")) == wanted:
        return None
    status, reason, message = wanted
    condition = {"type": "Dangling", "status": status, "lastTransitionTime": now}
    condition |= {"reason": reason, "message": message}
    new = copy.deepcopy(schema)
    others = [c for c in conditions if c.get("type") != "Dangling"]
    new.setdefault("status", {})["conditions"] = [*others, condition]
    return new


class Maintenance:
    """Applies the rules above to what is stored."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader, self._writer = reader, writer

    async def ensure(self) -> None:
        """Create and complete the objects. Raises the writer's ApiError when storage fails."""
        for kind_objects, mandatory in (
            (defaults.MANDATORY_LEVELS + defaults.MANDATORY_SCHEMAS, True),
            (defaults.SUGGESTED_LEVELS + defaults.SUGGESTED_SCHEMAS, False),
        ):
            for wanted in kind_objects:
                await self._ensure(wanted, mandatory=mandatory)

    async def _ensure(self, wanted: Obj, *, mandatory: bool) -> None:
        kind = LEVELS if wanted["kind"] == LEVELS.kind else SCHEMAS
        present = self._reader.get(kind, None, meta.name(wanted))
        try:
            if present is None:
                await self._writer.create(kind, copy.deepcopy(wanted))
            elif new := revised(present, wanted, mandatory=mandatory):
                await self._writer.update(kind, new)
                _log.info("restored a flow control object", kind=kind.kind, name=meta.name(wanted))
        except (AlreadyExists, Conflict):  # another server was faster; looked at again next time
            return

    async def tell_dangling(self) -> None:
        """Write the condition of every schema whose level came or went."""
        levels = {meta.name(obj) for obj in self._reader.list(LEVELS)}
        for schema in self._reader.list(SCHEMAS):
            if new := dangling(schema, levels, meta.now()):
                try:
                    await self._writer.update(SCHEMAS, new, subresource="status")
                except (NotFound, Conflict):  # seen again with the change that was in the way
                    continue

    async def round(self) -> None:
        """Everything once; a failing storage is a warning, and another round follows."""
        try:
            await self.ensure()
            await self.tell_dangling()
        except ApiError as error:
            _log.warning("cannot maintain the flow control objects yet", error=error.message)
