"""What workload controllers read from pods and do with them: active, available, ranked, made from templates."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

from kdist.api import meta, pods
from kdist.api.kinds import Kind
from kdist.api.meta import Obj

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def is_active(pod: Obj) -> bool:
    """Whether the pod counts as a replica: not finished and not being deleted."""
    return not pods.is_terminal(pod) and not meta.is_deleting(pod)


def is_available(pod: Obj, min_ready_seconds: int, now: datetime) -> bool:
    """Whether the pod has been ready for so many seconds."""
    condition = pods.get_condition(pod, "Ready")
    if condition is None or condition.get("status") != "True":
        return False
    if min_ready_seconds == 0:
        return True
    since = condition.get("lastTransitionTime")
    return since is not None and (now - meta.parse_time(since)).total_seconds() >= min_ready_seconds


def from_template(template: Obj, owner: Obj, kind: Kind) -> Obj:
    """A pod of the template, controlled by the owner; its name is made up by the server."""
    about = template.get("metadata") or {}
    prefix = f"{meta.name(owner)}-"
    metadata: Obj = {
        "generateName": prefix if len(prefix) <= 247 else prefix[:-1],
        "namespace": meta.namespace(owner),
        "labels": dict(about.get("labels") or {}),
        "annotations": dict(about.get("annotations") or {}),
        "ownerReferences": [meta.owner_ref(owner, kind)],
    }
    if about.get("finalizers"):
        metadata["finalizers"] = list(about["finalizers"])
    return {"metadata": metadata, "spec": deepcopy(template.get("spec") or {})}


def in_order_of_deletion(candidates: Iterable[Obj], related: Iterable[Obj], now: datetime) -> list[Obj]:
    """The candidates, those whose loss costs least first.

    Unassigned before assigned, Pending before Unknown before Running, not ready before ready, cheap before
    dear, from crowded nodes before lonely ones (counting ``related`` pods), lately ready before long ready (by
    powers of two, so that among pods of a similar age chance decides), much restarted first, young first.
    """
    crowd = Counter(p["spec"].get("nodeName") for p in related if is_active(p))

    def rank(pod: Obj) -> tuple[Any, ...]:
        node, ready = (pod.get("spec") or {}).get("nodeName"), pods.is_ready(pod)
        return (
            bool(node),
            _PHASES.get(meta.get(pod, "status.phase", "Pending"), 1),
            ready,
            _cost(pod),
            -crowd[node],
            _log_age(_ready_since(pod), now) if ready else 0,
            -_restarts(pod),
            _log_age(meta.get(pod, "metadata.creationTimestamp"), now),
            meta.uid(pod),
        )

    return sorted(candidates, key=rank)


def _cost(pod: Obj) -> int:
    try:
        return int(meta.annotations(pod).get(DELETION_COST, "0"))
    except ValueError:
        return 0


def _ready_since(pod: Obj) -> str | None:
    return (pods.get_condition(pod, "Ready") or {}).get("lastTransitionTime")


def _log_age(moment: str | None, now: datetime) -> int:
    if moment is None:
        return 0
    return int(math.log2(max(1.0, (now - meta.parse_time(moment)).total_seconds())))


def _restarts(pod: Obj) -> int:
    return max((c.get("restartCount", 0) for c in meta.get(pod, "status.containerStatuses", ())), default=0)


def utc_now() -> datetime:
    """The current time, aware."""
    return datetime.now(UTC)
