"""The pod table: one word that sums up phase, conditions and container states."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kdist.api import meta, pods
from kdist.api.meta import Obj
from kdist.apiserver.tables.columns import NONE, age, printer, shown, since


@dataclass(slots=True)
class _Summary:
    """What the containers add up to."""

    reason: str
    restarts: int = 0
    ready: int = 0
    total: int = 0
    last_restart: str = ""
    sidecars: set[str] = field(default_factory=set)

    def restarted(self, status: Obj) -> None:
        self.restarts += status.get("restartCount", 0)
        finished = meta.get(status, "lastState.terminated.finishedAt", "")
        self.last_restart = max(self.last_restart, finished)


def _exit_word(terminated: Obj) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _initializing(summary: _Summary, spec: Obj, statuses: list[Obj]) -> bool:
    """Read the init containers; whether one of them is still what the pod waits for."""
    summary.sidecars = {c["name"] for c in spec.get("initContainers") or () if pods.is_sidecar(c)}
    summary.total += len(summary.sidecars)
    for at, status in enumerate(statuses):
        summary.restarted(status)
        state = status.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        sidecar = status.get("name") in summary.sidecars
        if terminated and terminated.get("exitCode", 0) == 0:
            continue
        if sidecar and status.get("started"):
            summary.ready += bool(status.get("ready"))
            continue
        if terminated:
            summary.reason = f"Init:{_exit_word(terminated)}"
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            summary.reason = f"Init:{waiting['reason']}"
        else:
            summary.reason = f"Init:{at}/{len(spec.get('initContainers') or ())}"
        return True
    return False


def _running(summary: _Summary, obj: Obj, statuses: list[Obj]) -> None:
    """Read the containers: the first one that is not well names the reason."""
    has_running = False
    for status in reversed(statuses):
        summary.restarted(status)
        state = status.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            summary.reason = state["waiting"]["reason"]
        elif state.get("terminated") is not None:
            summary.reason = _exit_word(state["terminated"])
        elif status.get("ready") and state.get("running") is not None:
            has_running = True
            summary.ready += 1
    if summary.reason == "Completed" and has_running:
        summary.reason = "Running" if pods.is_ready(obj) else "NotReady"


def summarize(obj: Obj) -> _Summary:
    """The status word, ready count and restarts of a pod."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    summary = _Summary(status.get("reason") or status.get("phase") or "")
    summary.total = len(spec.get("containers") or ())
    scheduled = pods.get_condition(obj, "PodScheduled") or {}
    if scheduled.get("reason") == "SchedulingGated":
        summary.reason = "SchedulingGated"
    initializing = _initializing(summary, spec, status.get("initContainerStatuses") or [])
    initialized = (pods.get_condition(obj, "Initialized") or {}).get("status") == "True"
    if not initializing or initialized:
        sidecar_restarts = summary.restarts if summary.sidecars else 0
        summary.restarts, summary.last_restart = (
            sidecar_restarts,
            summary.last_restart if sidecar_restarts else "",
        )
        _running(summary, obj, status.get("containerStatuses") or [])
    if meta.is_deleting(obj):
        if status.get("reason") == "NodeLost":
            summary.reason = "Unknown"
        elif not pods.is_terminal(obj):
            summary.reason = "Terminating"
    return summary


@printer("Ready", "Status", "Restarts", "Age", "+IP", "+Node", "+Nominated Node", "+Readiness Gates")
def POD(obj: Obj, now: datetime) -> list[Any]:
    """Pods."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    summary = summarize(obj)
    restarts = str(summary.restarts)
    if summary.restarts and summary.last_restart:
        restarts = f"{summary.restarts} ({since(summary.last_restart, now)} ago)"
    addresses = status.get("podIPs") or []
    return [
        meta.name(obj),
        f"{summary.ready}/{summary.total}",
        summary.reason,
        restarts,
        age(obj, now),
        shown(addresses[0].get("ip") if addresses else status.get("podIP")),
        shown(spec.get("nodeName")),
        shown(status.get("nominatedNodeName")),
        _gates(obj, spec.get("readinessGates") or []),
    ]


def _gates(obj: Obj, gates: list[Obj]) -> str:
    if not gates:
        return NONE
    true = [g for g in gates if (pods.get_condition(obj, g["conditionType"]) or {}).get("status") == "True"]
    return f"{len(true)}/{len(gates)}"
