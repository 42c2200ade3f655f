"""The status of a pod, from its spec, what the runtime has and what probes say. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kdist.agent.pods import spec as specs
from kdist.agent.pods.observed import Container, Observed, State
from kdist.agent.pods.plan import Wait
from kdist.api import pods as api_pods
from kdist.api.meta import Obj

_LOST = {
    "exitCode": 137,
    "reason": "ContainerStatusUnknown",
    "message": "The container could not be located when the pod was terminated",
}


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """What a status says beside the two states.

    ``ready`` and ``started`` name containers whose probes agree. ``stopped``: nothing runs any more and
    nothing will. ``verdict`` is a phase that is decided already, with its reason and message; ``rejected``: it
    was decided before anything of the pod began.
    """

    now: str
    host_ips: Sequence[str] = ()
    waiting: Mapping[str, Wait] = field(default_factory=dict)
    ready: frozenset[str] = frozenset()
    started: frozenset[str] = frozenset()
    stopped: bool = False
    verdict: tuple[str, str, str] | None = None
    rejected: bool = False


def build(pod: Obj, observed: Observed, facts: StatusFacts) -> Obj:
    """The whole ``status`` of the pod; what others wrote into the old one is kept."""
    old: Obj = pod.get("status") or {}
    status: Obj = {k: v for k, v in old.items() if k not in ("phase", "reason", "message")}
    init = _all(pod, "init", observed, facts, lost=False)
    if init:
        status["initContainerStatuses"] = init
    begun = not facts.rejected and not _incomplete_init(pod, status)
    status["containerStatuses"] = _all(pod, "app", observed, facts, lost=facts.stopped and begun)
    ephemeral = _all(pod, "ephemeral", observed, facts, lost=False)
    if ephemeral:
        status["ephemeralContainerStatuses"] = ephemeral
    phase, reason, message = _verdict(pod, old, status, facts)
    if phase in ("Succeeded", "Failed") and observed.running and not api_pods.is_terminal(pod):
        # A phase is final: it is not told before the last container, sidecars included, has stopped.
        phase, reason, message = old.get("phase") or "Running", "", ""
    status["phase"] = phase
    status.update({k: v for k, v in (("reason", reason), ("message", message)) if v})
    status.setdefault("startTime", facts.now)
    status["qosClass"] = old.get("qosClass") or api_pods.qos_class(pod)
    status.update(_addresses(pod, observed, facts, old))
    status["conditions"] = _conditions(pod, observed, status, facts)
    if facts.rejected:
        for field_name, _ in _KINDS.values():
            status.pop(field_name, None)
    return status


OWNED = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


def merge(own: Obj, api: Obj) -> Obj:
    """The status that this node last built, with what others meanwhile wrote into the API's.

    The API's copy of our own fields may be older than what we know; a phase that ends the pod is obeyed.
    """
    ours = [c for c in own.get("conditions") or () if c["type"] in OWNED]
    others = [c for c in api.get("conditions") or () if c["type"] not in OWNED]
    merged = {**api, **own, "conditions": [*ours, *others]}
    if api.get("phase") in ("Succeeded", "Failed"):
        merged.update({k: api[k] for k in ("phase", "reason", "message") if k in api})
    return merged


def _verdict(pod: Obj, old: Obj, status: Obj, facts: StatusFacts) -> tuple[str, str, str]:
    if facts.verdict is not None:
        return facts.verdict
    if api_pods.is_terminal(pod):
        return old["phase"], old.get("reason") or "", old.get("message") or ""
    return phase(pod, status, facts.stopped), "", ""


def _addresses(pod: Obj, observed: Observed, facts: StatusFacts, old: Obj) -> Obj:
    found: Obj = {}
    if facts.host_ips:
        found["hostIP"] = facts.host_ips[0]
        found["hostIPs"] = [{"ip": ip} for ip in facts.host_ips]
    sandbox = observed.sandbox
    ips: Sequence[str] = sandbox.ips if sandbox and sandbox.ready else ()
    if specs.host_network(pod):
        ips = facts.host_ips if sandbox or old.get("podIP") else ()
    if ips:
        found["podIP"] = ips[0]
        found["podIPs"] = [{"ip": ip} for ip in ips]
    return found


# Container statuses.


_KINDS = {
    "init": ("initContainerStatuses", specs.init_containers),
    "app": ("containerStatuses", specs.containers),
    "ephemeral": ("ephemeralContainerStatuses", specs.ephemeral_containers),
}


def _all(pod: Obj, kind: str, observed: Observed, facts: StatusFacts, *, lost: bool) -> list[Obj]:
    """The statuses of one kind of containers. ``lost``: one that never ended will not be seen to end."""
    field_name, find = _KINDS[kind]
    before = {s["name"]: s for s in (pod.get("status") or {}).get(field_name) or ()}
    # Init containers wait for those before them under the same name as the rest of the pod.
    default = "PodInitializing" if specs.init_containers(pod) else "ContainerCreating"
    statuses = []
    for container in find(pod):
        runs = observed.runs(container["name"])
        status = _container(container, runs, before.get(container["name"]) or {}, facts, default)
        if kind == "init" and _exit_code(status) == 0:
            status["ready"] = True
        if kind == "ephemeral":
            status["ready"] = status["started"] = False  # They count for nothing.
        if lost and "waiting" in status["state"]:
            status["state"] = {"terminated": dict(_LOST)}
        statuses.append(status)
    return statuses


def _container(
    container: Obj, runs: tuple[Container, ...], old: Obj, facts: StatusFacts, default: str
) -> Obj:
    name = container["name"]
    newest = runs[0] if runs else None
    status: Obj = {
        "name": name,
        "image": (newest.image if newest else "") or old.get("image") or container.get("image", ""),
        "imageID": newest.image_id if newest else old.get("imageID") or "",
        "restartCount": newest.attempt if newest else old.get("restartCount") or 0,
        "ready": False,
        "started": False,
        **_states(name, runs, old, facts, default),
    }
    if newest is not None:
        status["containerID"] = f"containerd://{newest.id}"
    elif old.get("containerID"):
        status["containerID"] = old["containerID"]
    if newest is not None and newest.running:
        status["started"] = name in facts.started
        status["ready"] = name in facts.ready
    if mounts := _mounts(container):
        status["volumeMounts"] = mounts
    return status


def _mounts(container: Obj) -> list[Obj]:
    return [
        {
            "name": m["name"],
            "mountPath": m["mountPath"],
            **({"readOnly": True, "recursiveReadOnly": "Disabled"} if m.get("readOnly") else {}),
        }
        for m in container.get("volumeMounts") or ()
    ]


def _states(
    name: str, runs: tuple[Container, ...], old: Obj, facts: StatusFacts, default: str
) -> dict[str, Any]:
    newest = runs[0] if runs else None
    wait = facts.waiting.get(name)
    previous = runs[1] if len(runs) > 1 and runs[1].ended else None
    last = {"terminated": _terminated(previous)} if previous else {}
    if newest is None:
        return _unseen(wait, old, facts, default)
    if newest.running:
        return {"state": {"running": {"startedAt": specs.rfc3339(newest.started_at)}}, "lastState": last}
    if newest.state is State.CREATED:
        return {"state": _waiting(wait, default), "lastState": last}
    ended = {"terminated": _terminated(newest)}
    if wait is not None:
        return {"state": _waiting(wait, default), "lastState": ended}
    return {"state": ended, "lastState": last}


def _unseen(wait: Wait | None, old: Obj, facts: StatusFacts, default: str) -> dict[str, Any]:
    """The states of a container that the runtime has no run of: not started yet, removed, or lost."""
    before = old.get("state") or {}
    last = old.get("lastState") or {}
    if "terminated" in before and (facts.stopped or wait is None):
        return {"state": before, "lastState": last}
    if "running" in before:
        if facts.stopped:
            return {"state": {"terminated": dict(_LOST)}, "lastState": last}
        last = {"terminated": dict(_LOST)}
    return {"state": _waiting(wait, default), "lastState": last}


def _waiting(wait: Wait | None, default: str) -> Obj:
    reason, message = (wait.reason, wait.message) if wait else (default, "")
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def _terminated(run: Container) -> Obj:
    unknown = run.state is State.UNKNOWN
    reason = run.reason or (
        "ContainerStatusUnknown" if unknown else "Completed" if run.succeeded else "Error"
    )
    terminated: Obj = {
        "exitCode": 137 if unknown and not run.exit_code else run.exit_code,
        "reason": reason,
        "message": run.message,
        "startedAt": specs.rfc3339(run.started_at),
        "finishedAt": specs.rfc3339(run.finished_at),
        "containerID": f"containerd://{run.id}",
    }
    return {k: v for k, v in terminated.items() if v not in ("", None)}


# Phase.


def phase(pod: Obj, status: Obj, stopped: bool) -> str:
    """Pending, Running, Succeeded or Failed. ``stopped``: no container will start again, whatever the policy."""
    policy = specs.restart_policy(pod)
    apps = status["containerStatuses"]
    if not _initialized(pod, status) and not any(_began(s) for s in apps):
        failed = any(_exit_code(s) for s in _plain_init_statuses(pod, status))
        return "Failed" if failed and (policy == "Never" or stopped) else "Failed" if stopped else "Pending"
    if stopped or (policy != "Always" and all("terminated" in s["state"] for s in apps)):
        codes = [_exit_code(s) for s in apps]
        if stopped or policy == "Never":
            return "Succeeded" if all(code == 0 for code in codes) else "Failed"
        return "Succeeded" if all(code == 0 for code in codes) else "Running"
    return "Running" if all(_began(s) for s in apps) else "Pending"


def _began(status: Obj) -> bool:
    states = (status["state"], status["lastState"])
    return "running" in states[0] or any("terminated" in s for s in states)


def _exit_code(status: Obj) -> int | None:
    terminated = status["state"].get("terminated")
    return int(terminated["exitCode"]) if terminated else None


def _plain_init_statuses(pod: Obj, status: Obj) -> list[Obj]:
    sidecars = {c["name"] for c in specs.init_containers(pod) if specs.is_sidecar(c)}
    return [s for s in status.get("initContainerStatuses") or () if s["name"] not in sidecars]


def _incomplete_init(pod: Obj, status: Obj) -> list[str]:
    sidecars = {c["name"] for c in specs.init_containers(pod) if specs.is_sidecar(c)}
    missing = []
    for one in status.get("initContainerStatuses") or ():
        done = one["started"] if one["name"] in sidecars else _exit_code(one) == 0
        if not done:
            missing.append(one["name"])
    return missing


def _initialized(pod: Obj, status: Obj) -> bool:
    return not _incomplete_init(pod, status) or any(_began(s) for s in status["containerStatuses"])


# Conditions.


def _conditions(pod: Obj, observed: Observed, status: Obj, facts: StatusFacts) -> list[Obj]:
    holder: Obj = {"status": {"conditions": [dict(c) for c in status.get("conditions") or ()]}}
    terminal = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(status["phase"])
    for kind, (value, reason, message) in {
        "PodReadyToStartContainers": (_sandbox_ready(observed), "", ""),
        "Initialized": _initialized_condition(pod, status),
        "Ready": _ready_condition(pod, status, terminal),
        "ContainersReady": _containers_ready(pod, status, terminal),
        "PodScheduled": (True, "", ""),
    }.items():
        api_pods.set_condition(holder, kind, str(bool(value)), reason, message, facts.now)
    conditions: list[Obj] = holder["status"]["conditions"]
    return conditions


def _sandbox_ready(observed: Observed) -> bool:
    return observed.sandbox is not None and observed.sandbox.ready


def _initialized_condition(pod: Obj, status: Obj) -> tuple[bool, str, str]:
    if _initialized(pod, status):
        return True, "PodCompleted" if status["phase"] == "Succeeded" else "", ""
    names = " ".join(_incomplete_init(pod, status))
    return False, "ContainersNotInitialized", f"containers with incomplete status: [{names}]"


def _containers_ready(pod: Obj, status: Obj, terminal: str | None) -> tuple[bool, str, str]:
    if terminal:
        return False, terminal, ""
    sidecars = {c["name"] for c in specs.init_containers(pod) if specs.is_sidecar(c)}
    counted = [s for s in status.get("initContainerStatuses") or () if s["name"] in sidecars]
    unready = [s["name"] for s in (*counted, *status["containerStatuses"]) if not s["ready"]]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""


def _ready_condition(pod: Obj, status: Obj, terminal: str | None) -> tuple[bool, str, str]:
    ready, reason, message = _containers_ready(pod, status, terminal)
    if not ready:
        return ready, reason, message
    told = []
    for gate in specs.spec(pod).get("readinessGates") or ():
        kind = gate["conditionType"]
        condition = api_pods.get_condition({"status": status}, kind)
        if condition is None:
            told.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif condition.get("status") != "True":
            told.append(f'the status of pod readiness gate "{kind}" is not "True", but {condition["status"]}')
    if told:
        return False, "ReadinessGatesNotReady", ", ".join(told)
    return True, "", ""
