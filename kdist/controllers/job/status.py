"""A Job's status: counters, conditions and times. Pure."""

from __future__ import annotations

from copy import deepcopy

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.controllers.job import indexes
from kdist.controllers.job.plan import End, Standing, is_indexed


def add_condition(status: Obj, type: str, value: str, reason: str, message: str, now: str) -> None:
    """Put a condition unless it is there with that value."""
    conditions = status.setdefault("conditions", [])
    old = next((c for c in conditions if c["type"] == type), None)
    if old is not None and old["status"] == value and old.get("reason") == reason:
        return
    if old is not None:
        conditions.remove(old)
    conditions.append(
        {
            "type": type,
            "status": value,
            "lastProbeTime": now,
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        }
    )


def status(job: Obj, standing: Standing, active: int, ending: End | None, now: str) -> Obj:
    """The new status; the Job is finished only when every pod has ended and is counted."""
    new: Obj = deepcopy(job.get("status") or {})
    suspended = bool(meta.get(job, "spec.suspend"))
    counted = standing.counted
    new.update(active=active, ready=standing.ready, terminating=standing.terminating)
    new.update(succeeded=counted["succeeded"], failed=counted["failed"])
    new["uncountedTerminatedPods"] = counted["uncountedTerminatedPods"]
    if is_indexed(job):
        new["completedIndexes"] = indexes.render(standing.succeeded_indexes)
        if job["spec"].get("backoffLimitPerIndex") is not None:
            new["failedIndexes"] = indexes.render(standing.failed_indexes)
    if not suspended:
        new.setdefault("startTime", now)
    _note_suspension(job, new, suspended and ending is None, now)
    if ending is not None:
        _note_end(standing, new, ending, active, now)
    for number in ("active", "succeeded", "failed", "completedIndexes"):
        if not new.get(number):
            new.pop(number, None)
    return new


def _note_suspension(job: Obj, new: Obj, suspended: bool, now: str) -> None:
    known = next((c for c in new.get("conditions") or () if c["type"] == "Suspended"), None)
    if suspended:
        add_condition(new, "Suspended", "True", "JobSuspended", "Job suspended", now)
        new.pop("startTime", None)
    elif known is not None and known["status"] == "True" and not meta.get(job, "spec.suspend"):
        add_condition(new, "Suspended", "False", "JobResumed", "Job resumed", now)
        new["startTime"] = now


def _note_end(standing: Standing, new: Obj, ending: End, active: int, now: str) -> None:
    target = "FailureTarget" if ending.type == "Failed" else "SuccessCriteriaMet"
    add_condition(new, target, "True", ending.reason, ending.message, now)
    settled = not new["uncountedTerminatedPods"] and not standing.release
    if not (active or standing.active or standing.terminating) and settled:
        add_condition(new, ending.type, "True", ending.reason, ending.message, now)
        if ending.type == "Complete":
            new["completionTime"] = now
