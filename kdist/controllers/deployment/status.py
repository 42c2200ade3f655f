"""A Deployment's status: counts, availability, progress and its deadline. Pure."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta

from kdist.api import meta, pods
from kdist.api.meta import Obj
from kdist.controllers.deployment.plan import available, limits, total

# spec.progressDeadlineSeconds of this size means: no deadline.
NO_DEADLINE = 2**31 - 1
NEW_AVAILABLE, TIMED_OUT = "NewReplicaSetAvailable", "ProgressDeadlineExceeded"


def has_deadline(deployment: Obj) -> bool:
    """Whether progress is watched."""
    return meta.get(deployment, "spec.progressDeadlineSeconds") not in (None, NO_DEADLINE)


def get_condition(status: Obj, type: str) -> Obj | None:
    """The condition of that type in a status."""
    return pods.get_condition({"status": status}, type)


def set_condition(
    status: Obj, type: str, value: str, reason: str, message: str, now: str, *, refresh: bool = False
) -> None:
    """Put a condition; one of the same value and reason stays as it is unless ``refresh``."""
    old = get_condition(status, type)
    if old and not refresh and (old["status"], old.get("reason")) == (value, reason):
        return
    changed = now if old is None or old["status"] != value else old.get("lastTransitionTime", now)
    remove_condition(status, type)
    status.setdefault("conditions", []).append(
        {
            "type": type,
            "status": value,
            "lastUpdateTime": now,
            "lastTransitionTime": changed,
            "reason": reason,
            "message": message,
        }
    )


def remove_condition(status: Obj, type: str) -> None:
    """Take a condition out."""
    status["conditions"] = [c for c in status.get("conditions") or () if c["type"] != type]


def counts(deployment: Obj, new: Obj | None, sets: list[Obj], now: str) -> Obj:
    """The status with fresh counts and availability; other conditions are carried over."""
    before = deployment.get("status") or {}
    ready = sum(available(s) for s in sets)
    numbers = {
        "replicas": sum(meta.get(s, "status.replicas", 0) for s in sets),
        "updatedReplicas": meta.get(new, "status.replicas", 0),
        "readyReplicas": sum(meta.get(s, "status.readyReplicas", 0) for s in sets),
        "availableReplicas": ready,
        "unavailableReplicas": max(0, total(sets) - ready),
    }
    status: Obj = {
        "observedGeneration": meta.get(deployment, "metadata.generation", 0),
        **{name: number for name, number in numbers.items() if number},
        "conditions": deepcopy(before.get("conditions") or []),
    }
    if before.get("collisionCount") is not None:
        status["collisionCount"] = before["collisionCount"]
    if ready >= limits(deployment).least:
        text = "Deployment has minimum availability."
        set_condition(status, "Available", "True", "MinimumReplicasAvailable", text, now)
    else:
        text = "Deployment does not have minimum availability."
        set_condition(status, "Available", "False", "MinimumReplicasUnavailable", text, now)
    return status


def is_complete(deployment: Obj, status: Obj) -> bool:
    """Whether all pods are of the current template, available, and no others are left."""
    wanted = meta.get(deployment, "spec.replicas", 1)
    there = (status.get(n, 0) for n in ("updatedReplicas", "replicas", "availableReplicas"))
    seen = status.get("observedGeneration", 0) >= meta.get(deployment, "metadata.generation", 0)
    return seen and all(number == wanted for number in there)


def _progresses(before: Obj, after: Obj) -> bool:
    def old_pods(status: Obj) -> int:
        return int(status.get("replicas", 0) - status.get("updatedReplicas", 0))

    grew = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return old_pods(after) < old_pods(before) or any(after.get(n, 0) > before.get(n, 0) for n in grew)


def _has_timed_out(deployment: Obj, condition: Obj | None, now: datetime) -> bool:
    if condition is None or condition.get("reason") == NEW_AVAILABLE:
        return False
    if condition.get("reason") == TIMED_OUT:
        return True
    since = condition.get("lastUpdateTime") or condition.get("lastTransitionTime")
    limit = timedelta(seconds=deployment["spec"]["progressDeadlineSeconds"])
    return since is not None and meta.parse_time(since) + limit < now


def rollout(deployment: Obj, new: Obj | None, sets: list[Obj], now: datetime) -> Obj:
    """The whole status during and after a rollout."""
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    before, status = deployment.get("status") or {}, counts(deployment, new, sets, stamp)
    if not has_deadline(deployment):
        remove_condition(status, "Progressing")
    else:
        _judge_progress(deployment, new, before, status, now)
    _copy_failure(status, new, sets, stamp)
    return status


def _judge_progress(deployment: Obj, new: Obj | None, before: Obj, status: Obj, now: datetime) -> None:
    condition = get_condition(before, "Progressing")
    settled = before.get("replicas", 0) == before.get("updatedReplicas", 0)
    if condition and settled and condition.get("reason") == NEW_AVAILABLE:
        return  # finished: pods that come and go later are not a rollout
    what = f'ReplicaSet "{meta.name(new)}"' if new else f'Deployment "{meta.name(deployment)}"'
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")

    def judge(value: str, reason: str, message: str, refresh: bool = False) -> None:
        set_condition(status, "Progressing", value, reason, f"{what} {message}", stamp, refresh=refresh)

    if is_complete(deployment, status):
        judge("True", NEW_AVAILABLE, "has successfully progressed.")
    elif _progresses(before, status):
        judge("True", "ReplicaSetUpdated", "is progressing.", refresh=True)
    elif _has_timed_out(deployment, condition, now):
        judge("False", TIMED_OUT, "has timed out progressing.")


def _copy_failure(status: Obj, new: Obj | None, sets: list[Obj], stamp: str) -> None:
    """A ReplicaSet that cannot make pods says why; the new one's reason comes first."""
    for replica_set in [*([new] if new else []), *sets]:
        failure = pods.get_condition(replica_set, "ReplicaFailure")
        if failure and failure.get("status") == "True":
            reason, message = failure.get("reason", ""), failure.get("message", "")
            return set_condition(status, "ReplicaFailure", "True", reason, message, stamp)
    return remove_condition(status, "ReplicaFailure")


def pausing(deployment: Obj, now: str) -> Obj | None:
    """The status with the pause (or its end) noted under Progressing; None when there is nothing to note."""
    if not has_deadline(deployment):
        return None
    condition = get_condition(deployment.get("status") or {}, "Progressing")
    reason = condition.get("reason") if condition else None
    paused = bool(deployment["spec"].get("paused"))
    if reason == TIMED_OUT or paused == (reason == "DeploymentPaused"):
        return None
    status = deepcopy(deployment.get("status") or {})
    word = "paused" if paused else "resumed"
    set_condition(status, "Progressing", "Unknown", f"Deployment{word.title()}", f"Deployment is {word}", now)
    return status


def deadline_in(deployment: Obj, status: Obj, now: datetime) -> float | None:
    """Seconds until the progress deadline has to be judged again."""
    condition = get_condition(status, "Progressing")
    if not has_deadline(deployment) or condition is None or is_complete(deployment, status):
        return None
    if condition.get("reason") in (TIMED_OUT, NEW_AVAILABLE) or not condition.get("lastUpdateTime"):
        return None
    limit = timedelta(seconds=deployment["spec"]["progressDeadlineSeconds"])
    left = (meta.parse_time(condition["lastUpdateTime"]) + limit - now).total_seconds()
    return max(left, 0.0) + 1.0
