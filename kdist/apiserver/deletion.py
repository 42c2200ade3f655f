"""What deleting an object comes to: gone at once, or marked and waiting for its grace period or finalizers.

Pure: :func:`plan` decides, :mod:`kdist.apiserver.handlers.delete` writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kdist.api import errors, meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import Strategy

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
_POLICIES = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True, slots=True)
class Options:
    """metav1.DeleteOptions, as far as they matter here. ``propagation`` is empty when nothing was asked."""

    grace_seconds: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False

    @classmethod
    def parse(cls, body: Obj) -> Options:
        """From a decoded body. Invalid for policies that are unknown or contradict each other."""
        orphan, policy = body.get("orphanDependents"), body.get("propagationPolicy") or ""
        causes = []
        if orphan is not None and policy:
            told = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
            causes.append(Cause("propagationPolicy", told))
        elif policy and policy not in _POLICIES:
            supported = ", ".join(f'"{p}"' for p in (*_POLICIES, "nil"))
            told = f'Unsupported value: "{policy}": supported values: {supported}'
            causes.append(Cause("propagationPolicy", told, "FieldValueNotSupported"))
        dry_run = body.get("dryRun") or ()
        if any(value != "All" for value in dry_run):
            listed = ", ".join(f'"{value}"' for value in dry_run)
            told = f'Unsupported value: []string{{{listed}}}: supported values: "All"'
            causes.append(Cause("dryRun", told, "FieldValueNotSupported"))
        if causes:
            raise errors.invalid("meta.k8s.io", "DeleteOptions", "", causes)
        if orphan is not None:
            policy = "Orphan" if orphan else "Background"
        preconditions = body.get("preconditions") or {}
        return cls(
            grace_seconds=body.get("gracePeriodSeconds"),
            propagation=policy,
            uid=preconditions.get("uid") or "",
            resource_version=preconditions.get("resourceVersion") or "",
            dry_run="All" in dry_run,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """``obj`` is the object to store, or with ``remove`` the last state of one that goes now."""

    obj: Obj
    remove: bool


def check_preconditions(obj: Obj, options: Options, strategy: Strategy | None = None) -> None:
    """Raise Conflict when the object is not the one that the request means."""
    group = strategy.error_group if strategy is not None else None
    if group is None:
        group = obj["apiVersion"].rpartition("/")[0]
    uid, version = meta.uid(obj), meta.resource_version(obj)
    if obj["kind"] == "Namespace":
        for told, wanted, have in (
            ("UID", options.uid, uid),
            ("ResourceVersion", options.resource_version, version),
        ):
            if wanted and wanted != have:
                failed = (
                    f"Precondition failed: {told} in precondition: {wanted}, {told} in object meta: {have}"
                )
                raise errors.conflict("", "namespaces", meta.name(obj), failed)
    if options.uid and options.uid != uid:
        raise errors.conflict(
            group,
            obj["kind"],
            meta.name(obj),
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid}). "
            "The object might have been deleted and then recreated",
        )
    if options.resource_version and options.resource_version != version:
        raise errors.conflict(
            group,
            obj["kind"],
            meta.name(obj),
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the "
            f"ResourceVersion in record ({version}). The object might have been modified",
        )


def plan(obj: Obj, options: Options, strategy: Strategy) -> Outcome:
    """What becomes of ``obj``, which may be changed. Raises Conflict for failed preconditions."""
    check_preconditions(obj, options, strategy)
    finalizers = _finalizers(obj, options, strategy)
    metadata = obj["metadata"]
    grace = strategy.grace_seconds(obj, options.grace_seconds)
    if metadata.get("deletionTimestamp"):
        waits = _shorten(obj, options, grace)
    else:
        waits = grace > 0
        if waits:
            _mark(obj, grace)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    is_namespace = obj["kind"] == "Namespace"
    held = bool(finalizers) or (is_namespace and bool(meta.get(obj, "spec.finalizers")))
    if not waits and held and not metadata.get("deletionTimestamp"):
        _mark(obj, 0)
    elif not waits and held:
        metadata["deletionGracePeriodSeconds"] = 0
    if is_namespace and held:
        metadata.pop("deletionGracePeriodSeconds", None)
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    remove = not waits and not held
    if remove and strategy.marks_removed and not metadata.get("deletionTimestamp"):
        _mark(obj, 0)
    return Outcome(obj, remove=remove)


def _mark(obj: Obj, grace: int) -> None:
    metadata = obj["metadata"]
    metadata["deletionTimestamp"] = _in(grace)
    metadata["deletionGracePeriodSeconds"] = grace
    if metadata.get("generation"):
        metadata["generation"] += 1


def _in(seconds: int) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shorten(obj: Obj, options: Options, grace: int) -> bool:
    """Deleting again may only bring the end forward; whether the object still waits."""
    metadata = obj["metadata"]
    left = metadata.get("deletionGracePeriodSeconds") or 0
    if not left:
        return False
    if options.grace_seconds is None or grace >= left:
        return True
    begun = meta.parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=left)
    metadata["deletionTimestamp"] = (begun + timedelta(seconds=grace)).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata["deletionGracePeriodSeconds"] = grace
    return grace > 0


def _finalizers(obj: Obj, options: Options, strategy: Strategy) -> list[str]:
    """The object's finalizers with the garbage collector's as the propagation policy wants them."""
    have: list[str] = list(obj["metadata"].get("finalizers") or ())
    if not obj["metadata"].get("deletionTimestamp"):
        have += (f for f in strategy.deletion_finalizers if f not in have)
    if not strategy.collected:
        return have
    policy = options.propagation
    if not policy:
        if ORPHAN in have or FOREGROUND in have:
            return have
        policy = "Orphan" if strategy.orphans_by_default else "Background"
    wanted = {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(policy)
    kept = [f for f in have if f not in (ORPHAN, FOREGROUND)]
    return [*kept, wanted] if wanted else kept


def finished(obj: Obj) -> bool:
    """Whether the last finalizer of a deleted object is gone, so that the write is its removal."""
    metadata = obj["metadata"]
    return (
        bool(metadata.get("deletionTimestamp"))
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and not (obj["kind"] == "Namespace" and (obj.get("spec") or {}).get("finalizers"))
    )
