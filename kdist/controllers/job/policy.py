"""What a failed pod means for its Job: the pod failure policy, the success policy and back-off. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kdist.api import meta, pods
from kdist.api.meta import Obj
from kdist.controllers.job import indexes

FIRST_BACKOFF, LONGEST_BACKOFF = 10.0, 600.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """``action`` is FailJob, FailIndex, Ignore or Count; ``message`` explains a FailJob."""

    action: str
    message: str = ""


def judge(policy: Mapping[str, Any] | None, pod: Obj) -> Judgement:
    """The first rule that matches decides; without one the failure counts."""
    for number, rule in enumerate((policy or {}).get("rules") or ()):
        action = rule["action"]
        if exit_codes := rule.get("onExitCodes"):
            for container, code in _exit_codes(pod, exit_codes.get("containerName")):
                if (code in exit_codes["values"]) == (exit_codes["operator"] == "In"):
                    text = (
                        f"Container {container} for pod {meta.key(pod)} failed with exit code {code} "
                        f"matching {action} rule at index {number}"
                    )
                    return Judgement(action, text)
        for pattern in rule.get("onPodConditions") or ():
            condition = pods.get_condition(pod, pattern["type"])
            if condition and condition["status"] == (pattern.get("status") or "True"):
                text = (
                    f"Pod {meta.key(pod)} has condition {pattern['type']} "
                    f"matching {action} rule at index {number}"
                )
                return Judgement(action, text)
    return Judgement("Count")


def _exit_codes(pod: Obj, container: str | None) -> Iterable[tuple[str, int]]:
    """Names and non-zero exit codes of the containers that ended."""
    for field in ("initContainerStatuses", "containerStatuses"):
        for status in meta.get(pod, f"status.{field}", ()):
            code = meta.get(status, "state.terminated.exitCode", 0)
            if code and container in (None, status["name"]):
                yield status["name"], code


def success_rule(policy: Mapping[str, Any] | None, succeeded: set[int], completions: int) -> str | None:
    """Why the Job counts as done before all indexes are: the message of the first rule that holds."""
    for number, rule in enumerate((policy or {}).get("rules") or ()):
        wanted = indexes.parse(rule.get("succeededIndexes"), completions)
        needed = rule.get("succeededCount")
        among = succeeded & wanted if wanted else succeeded
        if len(among) >= (needed if needed is not None else len(wanted)) and among:
            return f"Matched rules at index {number}"
    return None


def finished_at(pod: Obj) -> datetime | None:
    """When the last container of the pod ended, else when the pod was deleted."""
    moments = [
        meta.get(status, "state.terminated.finishedAt")
        for status in meta.get(pod, "status.containerStatuses", ())
    ]
    known = [m for m in moments if m]
    ready = pods.get_condition(pod, "Ready") or {}
    text = (
        max(known, default=None)
        or meta.get(pod, "metadata.deletionTimestamp")
        or ready.get("lastTransitionTime")
    )
    return meta.parse_time(text) if text else None


def backoff(failures: int, last: datetime | None, now: datetime) -> float:
    """Seconds until a replacement may be created: 10, 20, 40, ... after the last of the failures in a row."""
    if not failures or last is None:
        return 0.0
    wait = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 32))
    return max(0.0, (last + timedelta(seconds=wait) - now).total_seconds())
