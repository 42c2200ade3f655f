"""The status of a CustomResourceDefinition: which of its names are accepted, whether it is served. Pure."""

from __future__ import annotations

from copy import deepcopy

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.apiserver.crd import approval
from kdist.apiserver.crd.definition import condition


def plan(crd: Obj, everyone: list[Obj]) -> Obj:
    """The status that a definition should have beside the others of its group."""
    status: Obj = deepcopy(crd.get("status") or {})
    others = [
        c for c in everyone if meta.uid(c) != meta.uid(crd) and c["spec"]["group"] == crd["spec"]["group"]
    ]
    accepted = [meta.get(c, "status.acceptedNames", {}) for c in others]
    status["acceptedNames"], conflicts = _names(
        crd["spec"]["names"], status.get("acceptedNames") or {}, accepted
    )
    conditions: list[Obj] = status.setdefault("conditions", [])
    if conflicts:
        reason, told = conflicts[-1]  # one condition tells of one conflict: the last
        _set(conditions, "NamesAccepted", "False", reason, told)
        if not condition(crd, "Established"):
            _set(conditions, "Established", "False", "NotAccepted", "not all names are accepted")
    else:
        _set(conditions, "NamesAccepted", "True", "NoConflicts", "no conflicts found")
        _set(
            conditions, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted"
        )
    if approval.is_protected(crd["spec"]["group"]):
        _set(conditions, approval.CONDITION, *approval.verdict(crd))
    if meta.is_deleting(crd):
        told = "CustomResource deletion is in progress"
        _set(conditions, "Terminating", "True", "InstanceDeletionInProgress", told)
    return status


def _names(wanted: Obj, have: Obj, others: list[Obj]) -> tuple[Obj, list[tuple[str, str]]]:
    """The accepted names, and (reason, message) of each conflict; a name in use stays as it was."""
    resources = {
        n for other in others for f in ("plural", "singular", "shortNames") for n in _listed(other, f)
    }
    kinds = {n for other in others for f in ("kind", "listKind") for n in _listed(other, f)}
    accepted, conflicts = deepcopy(have), []
    for field in ("plural", "singular", "shortNames", "kind", "listKind"):
        taken = kinds if field.lower().endswith("kind") else resources
        if busy := [name for name in _listed(wanted, field) if name in taken]:
            told = "; ".join(f'"{name}" is already in use' for name in busy)
            conflicts.append((f"{field[0].upper()}{field[1:]}Conflict", told))
        else:
            _copy(wanted, accepted, field)
    _copy(wanted, accepted, "categories")
    return accepted, conflicts


def _listed(names: Obj, field: str) -> list[str]:
    value = names.get(field) or []
    return value if isinstance(value, list) else [value]


def _copy(source: Obj, target: Obj, field: str) -> None:
    target.pop(field, None)
    if source.get(field):
        target[field] = deepcopy(source[field])


def _set(conditions: list[Obj], kind: str, value: str, reason: str, told: str) -> None:
    """Set a condition; the time of its transition changes only with its status."""
    new = {"type": kind, "status": value, "reason": reason, "message": told}
    for at, old in enumerate(conditions):
        if old.get("type") == kind:  # a client's own condition may lack anything
            moved = old.get("lastTransitionTime") if old.get("status") == value else None
            conditions[at] = {"lastTransitionTime": moved or meta.now(), **new}
            return
    conditions.append({"lastTransitionTime": meta.now(), **new})
