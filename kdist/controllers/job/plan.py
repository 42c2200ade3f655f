"""Where a Job stands, and what comes next. Pure.

Finished pods are counted exactly once although pods may vanish at any time: a pod carries a finalizer until its
uid is written into ``status.uncountedTerminatedPods``; when the finalizer is off, the uid moves into the counter.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kdist.api import meta, pods
from kdist.api.kinds import JOBS
from kdist.api.meta import Obj
from kdist.controllers.job import indexes, policy
from kdist.controllers.pods import from_template, is_active

TRACKING = "batch.kubernetes.io/job-tracking"
INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"
UNCOUNTED = 500


def is_finished(job: Obj) -> bool:
    """Whether the Job is Complete or Failed for good."""
    return finished_condition(job) is not None


def finished_condition(job: Obj) -> Obj | None:
    """The condition Complete or Failed that is True."""
    for kind in ("Complete", "Failed"):
        condition = pods.get_condition(job, kind)
        if condition and condition["status"] == "True":
            return condition
    return None


def is_indexed(job: Obj) -> bool:
    """Whether each completion has a number."""
    return bool(meta.get(job, "spec.completionMode") == "Indexed")


def replaces_failed_only(job: Obj) -> bool:
    """Whether a pod is replaced only once it has ended, not already while it terminates."""
    wanted = meta.get(job, "spec.podReplacementPolicy")
    if wanted is None:
        return bool(meta.get(job, "spec.podFailurePolicy"))
    return bool(wanted == "Failed")


def has_failed(job: Obj, pod: Obj) -> bool:
    """Whether the pod counts as failed; one that is being deleted will never succeed."""
    phase = meta.get(pod, "status.phase")
    if phase == "Failed":
        return True
    return meta.is_deleting(pod) and phase != "Succeeded" and not replaces_failed_only(job)


def is_tracked(pod: Obj) -> bool:
    """Whether the pod still waits to be counted."""
    return TRACKING in meta.get(pod, "metadata.finalizers", ())


@dataclass(slots=True)
class Standing:
    """A Job's pods, sorted; numbers include what earlier syncs counted."""

    active: list[Obj] = field(default_factory=list)
    terminating: int = 0
    ready: int = 0
    succeeded: int = 0
    failed: int = 0
    newly_succeeded: list[Obj] = field(default_factory=list)
    newly_failed: list[Obj] = field(default_factory=list)
    fatal: str = ""  # why the failure policy ends the Job
    succeeded_indexes: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    counted: Obj = field(default_factory=dict)  # the counters and uncounted lists to be written
    release: list[Obj] = field(default_factory=list)  # pods whose finalizer may come off now


def survey(job: Obj, job_pods: list[Obj]) -> Standing:
    """Sort the pods and bring the books up to date."""
    standing, spec = Standing(), job["spec"]
    completions = spec.get("completions")
    status = job.get("status") or {}
    if is_indexed(job):
        standing.succeeded_indexes = indexes.parse(status.get("completedIndexes"), completions)
        standing.failed_indexes = indexes.parse(status.get("failedIndexes"), completions)
    _book(job, status, job_pods, standing)
    for pod in job_pods:
        if is_active(pod):
            standing.active.append(pod)
            standing.ready += pods.is_ready(pod)
        elif meta.is_deleting(pod) and not pods.is_terminal(pod):
            standing.terminating += 1
    return standing


def _book(job: Obj, status: Obj, job_pods: list[Obj], standing: Standing) -> None:
    """Move uids whose finalizer is off into the counters; list pods that ended since."""
    tracked = {meta.uid(p) for p in job_pods if is_tracked(p)}
    pending = status.get("uncountedTerminatedPods") or {}
    lists = {side: list(pending.get(side) or ()) for side in ("succeeded", "failed")}
    numbers = {side: int(status.get(side) or 0) for side in lists}
    for side, uids in lists.items():
        numbers[side] += len([u for u in uids if u not in tracked])
        lists[side] = [u for u in uids if u in tracked]
    known = set(lists["succeeded"]) | set(lists["failed"])
    for pod in job_pods:
        if meta.uid(pod) not in tracked or meta.uid(pod) in known:
            continue
        if len(lists["succeeded"]) + len(lists["failed"]) >= UNCOUNTED:
            break
        if meta.get(pod, "status.phase") == "Succeeded":
            _book_success(job, pod, standing, lists)
        elif has_failed(job, pod):
            _book_failure(job, pod, standing, lists)
    if is_indexed(job):
        numbers["succeeded"] = len(standing.succeeded_indexes)
        lists["succeeded"] = []
    standing.succeeded = numbers["succeeded"] + len(lists["succeeded"])
    standing.failed = numbers["failed"] + len(lists["failed"])
    standing.counted = {**numbers, "uncountedTerminatedPods": {s: u for s, u in lists.items() if u}}
    listed = {*lists["succeeded"], *lists["failed"]}
    done = {meta.uid(p) for p in (*standing.newly_succeeded, *standing.newly_failed)}
    standing.release = [
        p
        for p in job_pods
        if is_tracked(p) and (meta.uid(p) in listed or meta.uid(p) in done or _is_settled(job, p))
    ]


def _is_settled(job: Obj, pod: Obj) -> bool:
    """An indexed success is in the index set, whatever becomes of its pod."""
    return is_indexed(job) and meta.get(pod, "status.phase") == "Succeeded"


def _book_success(job: Obj, pod: Obj, standing: Standing, lists: dict[str, list[str]]) -> None:
    if not is_indexed(job):
        lists["succeeded"].append(meta.uid(pod))
        standing.newly_succeeded.append(pod)
        return
    index = indexes.of(pod)
    if index is not None and index < job["spec"]["completions"] and index not in standing.succeeded_indexes:
        standing.succeeded_indexes.add(index)
        standing.newly_succeeded.append(pod)


def _book_failure(job: Obj, pod: Obj, standing: Standing, lists: dict[str, list[str]]) -> None:
    judgement = policy.judge(job["spec"].get("podFailurePolicy"), pod)
    standing.newly_failed.append(pod)
    if judgement.action == "Ignore":
        return
    lists["failed"].append(meta.uid(pod))
    if judgement.action == "FailJob":
        standing.fatal = standing.fatal or judgement.message
    limit, index = job["spec"].get("backoffLimitPerIndex"), indexes.of(pod)
    if limit is not None and index is not None:
        used_up = int(meta.annotations(pod).get(INDEX_FAILURES, "0")) >= limit
        if judgement.action == "FailIndex" or used_up:
            standing.failed_indexes.add(index)


@dataclass(frozen=True, slots=True)
class End:
    """How the Job ends: ``type`` is Complete or Failed."""

    type: str
    reason: str
    message: str


def end(job: Obj, standing: Standing, now: datetime) -> End | None:
    """Whether the Job has come to its end, for better or worse."""
    for kind, result in (("FailureTarget", "Failed"), ("SuccessCriteriaMet", "Complete")):
        decided = pods.get_condition(job, kind)
        if decided and decided["status"] == "True":
            return End(result, decided.get("reason", ""), decided.get("message", ""))
    return _failure(job, standing, now) or _success(job, standing)


def _failure(job: Obj, standing: Standing, now: datetime) -> End | None:
    spec = job["spec"]
    if standing.fatal:
        return End("Failed", "PodFailurePolicy", standing.fatal)
    limit = spec.get("backoffLimit", 6)
    restarts = _restarts(standing.active) if _restarts_in_place(job) else 0
    if standing.failed > limit or restarts >= max(1, limit):
        return End("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    if past_deadline(job, now):
        return End("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
    if spec.get("backoffLimitPerIndex") is None or not standing.failed_indexes:
        return None
    most = spec.get("maxFailedIndexes")
    if most is not None and len(standing.failed_indexes) > most:
        return End(
            "Failed",
            "MaxFailedIndexesExceeded",
            "Job has exceeded the specified maximal number of failed indexes",
        )
    if (
        len(standing.failed_indexes | standing.succeeded_indexes) >= spec["completions"]
        and not standing.active
    ):
        return End("Failed", "FailedIndexes", "Job has failed indexes")
    return None


def _restarts_in_place(job: Obj) -> bool:
    return bool(meta.get(job, "spec.template.spec.restartPolicy") == "OnFailure")


def _restarts(active: Iterable[Obj]) -> int:
    return sum(
        status.get("restartCount", 0)
        for pod in active
        for field_name in ("initContainerStatuses", "containerStatuses")
        for status in meta.get(pod, f"status.{field_name}", ())
    )


def past_deadline(job: Obj, now: datetime) -> bool:
    """Whether activeDeadlineSeconds have passed since the start."""
    return (left := deadline_in(job, now)) is not None and left <= 0


def deadline_in(job: Obj, now: datetime) -> float | None:
    """Seconds until the deadline."""
    seconds, start = meta.get(job, "spec.activeDeadlineSeconds"), meta.get(job, "status.startTime")
    if seconds is None or start is None or meta.get(job, "spec.suspend"):
        return None
    return (meta.parse_time(start) + timedelta(seconds=seconds) - now).total_seconds()


def _success(job: Obj, standing: Standing) -> End | None:
    completions = job["spec"].get("completions")
    if is_indexed(job):
        rule = policy.success_rule(job["spec"].get("successPolicy"), standing.succeeded_indexes, completions)
        if rule is not None:
            return End("Complete", "SuccessPolicy", rule)
    if completions is None:
        # A work queue: one success says that the work is done; the others finish on their own.
        enough = standing.succeeded > 0 and not standing.active
    else:
        enough = standing.succeeded >= completions and not standing.active
    return (
        End("Complete", "CompletionsReached", "Reached expected number of succeeded pods") if enough else None
    )


def wanted(job: Obj, standing: Standing) -> int:
    """How many pods should be active."""
    spec = job["spec"]
    if spec.get("suspend"):
        return 0
    parallelism, completions = spec.get("parallelism", 1), spec.get("completions")
    if completions is None:
        return len(standing.active) if standing.succeeded else parallelism
    left = completions - standing.succeeded - len(standing.failed_indexes - standing.succeeded_indexes)
    return int(min(parallelism, max(0, left)))


def surplus(standing: Standing, number: int) -> list[Obj]:
    """The active pods to delete first: those that have got least far."""
    order = {"Pending": 0, "Unknown": 1, "Running": 2}
    ranked = sorted(
        standing.active,
        key=lambda p: (
            bool(p["spec"].get("nodeName")),
            order.get(meta.get(p, "status.phase", "Pending"), 1),
            pods.is_ready(p),
            -meta.parse_time(p["metadata"]["creationTimestamp"]).timestamp(),
        ),
    )
    return ranked[:number]


def pod(job: Obj, index: int | None, failures: int = 0) -> Obj:
    """A pod of the Job; with an index it knows its number by annotation, label, hostname and environment."""
    made = from_template(job["spec"]["template"], job, JOBS)
    metadata, spec = made["metadata"], made["spec"]
    metadata["finalizers"] = [*metadata.get("finalizers", ()), TRACKING]
    if index is None:
        return made
    metadata["generateName"] = f"{meta.name(job)}-{index}-"
    metadata["annotations"][indexes.INDEX] = metadata["labels"][indexes.INDEX] = str(index)
    if job["spec"].get("backoffLimitPerIndex") is not None:
        metadata["annotations"][INDEX_FAILURES] = str(failures)
    spec["hostname"] = f"{meta.name(job)}-{index}"
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{indexes.INDEX}']"}}
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        env = container.setdefault("env", [])
        if not any(e["name"] == "JOB_COMPLETION_INDEX" for e in env):
            env.append({"name": "JOB_COMPLETION_INDEX", "valueFrom": deepcopy(source)})
    return made
