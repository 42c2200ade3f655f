"""The deadline of a pod's work, counted from the moment the pod was taken up. Pure."""

from __future__ import annotations

from kdist.agent.pods import spec as specs
from kdist.api.meta import Obj

#: Phase, reason and message of a pod that worked longer than it may.
EXCEEDED = (
    "Failed",
    "DeadlineExceeded",
    "Pod was active on the node longer than the specified deadline",
)


def left(pod: Obj, now: float) -> float | None:
    """Seconds until the deadline, below zero once it is over; None without one, or before the pod was taken up."""
    seconds = specs.spec(pod).get("activeDeadlineSeconds")
    started = (pod.get("status") or {}).get("startTime")
    if seconds is None or not started:
        return None
    return float(seconds) - specs.seconds_since(started, now)
