"""What may change about a pod that exists, apart from its subresources: little, and mostly in one direction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import apparmor, podannotations
from kdist.apiserver.validation import causes

_TOLD = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_DEADLINE = "spec.activeDeadlineSeconds"


def check(new: Obj, old: Obj) -> list[Cause]:
    """Causes for the change from ``old`` to ``new``: images, the deadline, more tolerations; nothing else."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    annotations = meta.annotations(new)
    found = list(podannotations.check(annotations, spec))
    found += apparmor.check_update(annotations, meta.annotations(old))
    for kind in ("containers", "initContainers"):
        if len(spec.get(kind) or ()) != len(before.get(kind) or ()):
            told = "pod updates may not add or remove containers"
            return [*found, causes.forbidden(f"spec.{kind}", told)]
    deadline, previous = spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    if deadline is not None and previous is not None and deadline > previous:
        return [*found, causes.invalid(_DEADLINE, deadline, "must be less than or equal to previous value")]
    if deadline is None and previous is not None:
        told = "must not update from a positive integer to nil value"
        found.append(causes.invalid(_DEADLINE, None, told))
    found += _tolerations_grow(spec.get("tolerations") or [], before.get("tolerations") or [])
    found += _gates_only_go(spec, before)
    if before.get("schedulingGates"):
        found += _steered(spec, before)
    if _settled(spec, before) != _settled(before, before):
        found.append(causes.forbidden("spec", _TOLD))
    return found


def _settled(spec: Obj, before: Obj) -> Any:
    """The spec without everything that may change, or is judged by itself."""
    free = ("tolerations", "activeDeadlineSeconds", "schedulingGates")
    same = {k: v for k, v in spec.items() if k not in free}
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and spec.get(
        "terminationGracePeriodSeconds"
    ) == 1:
        same["terminationGracePeriodSeconds"] = before["terminationGracePeriodSeconds"]
    for kind in ("containers", "initContainers"):
        if kind in same:
            same[kind] = [{k: v for k, v in c.items() if k != "image"} for c in same[kind]]
    if before.get("schedulingGates"):  # a pod that is not released yet may still be steered
        same.pop("nodeSelector", None)
        affinity = same.pop("affinity", None) or {}
        if others := {k: v for k, v in affinity.items() if k != "nodeAffinity"}:
            same["affinity"] = others
    return same


def _tolerations_grow(new: list[Obj], old: list[Obj]) -> list[Cause]:
    def without_seconds(toleration: Obj) -> Obj:
        return {k: v for k, v in toleration.items() if k != "tolerationSeconds"}

    left = [without_seconds(t) for t in new]
    if all(without_seconds(t) in left for t in old):
        return []
    told = "existing toleration can not be modified except its tolerationSeconds"
    return [causes.forbidden("spec.tolerations", told)]


def _gates_only_go(spec: Obj, before: Obj) -> list[Cause]:
    old = [g.get("name") for g in before.get("schedulingGates") or ()]
    return [
        causes.forbidden(
            f"spec.schedulingGates[{at}].name",
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name', '')}'",
        )
        for at, gate in enumerate(spec.get("schedulingGates") or ())
        if gate.get("name") not in old
    ]


# ----- pods that wait behind scheduling gates


def _steered(spec: Obj, before: Obj) -> Iterator[Cause]:
    """Where a gated pod may go only gets narrower."""
    wanted, had = spec.get("nodeSelector") or {}, before.get("nodeSelector") or {}
    if any(wanted.get(key) != value for key, value in had.items()):
        told = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        yield causes.invalid("spec.nodeSelector", wanted, told)
    old = _node_terms(before)
    if not old:
        return
    new, field = _node_terms(spec), f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
    if len(new) != len(old):
        told = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        yield causes.invalid(field, new, told)
        return
    for at, (term, previous) in enumerate(zip(new, old, strict=True)):
        if not _narrows(term, previous):
            told = "only additions are allowed (no mutations or deletions)"
            yield causes.invalid(f"{field}[{at}]", term, told)


def _node_terms(spec: Obj) -> list[Obj]:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return (affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or []


def _narrows(term: Obj, previous: Obj) -> bool:
    """Whether a term begins with all of the previous one; one that matches nothing stays so."""
    kinds = ("matchExpressions", "matchFields")
    if not any(previous.get(kind) for kind in kinds):
        return not any(term.get(kind) for kind in kinds)
    return all((term.get(k) or [])[: len(previous.get(k) or ())] == (previous.get(k) or []) for k in kinds)
