"""What several components read from pods: readiness, phase, tolerations, requests, QoS, references."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kdist.api import meta, quantity
from kdist.api.meta import Obj

_REFERENCE = re.compile(r"\$\$|\$\(([^()]*)\)")


def get_condition(obj: Mapping[str, Any], type: str) -> Obj | None:
    """The status condition of that type, if present."""
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == type:
            return dict(condition)
    return None


def set_condition(
    obj: Obj, type: str, status: str, reason: str = "", message: str = "", now: str | None = None
) -> bool:
    """Put a condition into ``obj`` and tell whether that changed anything.

    lastTransitionTime moves only when the status does; ``now`` (RFC 3339) defaults to the clock.
    """
    conditions = obj.setdefault("status", {}).setdefault("conditions", [])
    wanted = {"type": type, "status": status, "reason": reason, "message": message}
    wanted = {k: v for k, v in wanted.items() if v}
    for at, old in enumerate(conditions):
        if old.get("type") != type:
            continue
        if all(old.get(k) == wanted.get(k) for k in ("status", "reason", "message")):
            return False
        kept = {k: v for k, v in old.items() if k not in ("reason", "message")}
        if old.get("status") != status:
            kept["lastTransitionTime"] = now or meta.now()
        conditions[at] = {**kept, **wanted}
        return True
    conditions.append({**wanted, "lastTransitionTime": now or meta.now()})
    return True


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether the Ready condition is True."""
    condition = get_condition(pod, "Ready")
    return condition is not None and condition.get("status") == "True"


def is_terminal(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has finished for good: Succeeded or Failed."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def tolerates(tolerations: Iterable[Mapping[str, Any]] | None, taint: Mapping[str, Any]) -> bool:
    """Whether any toleration covers the taint."""
    return any(_covers(t, taint) for t in tolerations or ())


def _covers(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if (toleration.get("operator") or "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def containers(pod: Mapping[str, Any]) -> Iterator[Obj]:
    """Init containers, then containers, then ephemeral containers."""
    spec = pod.get("spec") or {}
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """Whether an init container keeps running beside the containers."""
    return container.get("restartPolicy") == "Always"


def amount(resource: str, text: quantity.Text) -> int:
    """A quantity as the integer the scheduler counts: milli CPU, whole units of everything else."""
    return quantity.milli(text) if resource == "cpu" else quantity.value(text)


def _requested(container: Mapping[str, Any]) -> dict[str, int]:
    wanted = (container.get("resources") or {}).get("requests") or {}
    return {resource: amount(resource, text) for resource, text in wanted.items()}


def _plus(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    return {r: left.get(r, 0) + right.get(r, 0) for r in {**left, **right}}


def _larger(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    return {r: max(left.get(r, 0), right.get(r, 0)) for r in {**left, **right}}


def requests(pod: Mapping[str, Any]) -> dict[str, int]:
    """What the pod needs at its peak: the containers and sidecars together, or the largest init step.

    CPU in thousandths, memory and ephemeral storage in bytes, the rest in units; overhead included.
    """
    spec = pod.get("spec") or {}
    running: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        step = _plus(running, _requested(container))
        peak = _larger(peak, step)
        if is_sidecar(container):
            running = step
    for container in spec.get("containers") or ():
        running = _plus(running, _requested(container))
    overhead = {r: amount(r, text) for r, text in (spec.get("overhead") or {}).items()}
    return _plus(_larger(peak, running), overhead)


def qos_class(pod: Mapping[str, Any]) -> str:
    """Guaranteed, Burstable or BestEffort, from CPU and memory of the containers and init containers."""
    spec = pod.get("spec") or {}
    resources = [
        c.get("resources") or {}
        for c in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    ]
    if not any(_positive(r.get(side)) for r in resources for side in ("requests", "limits")):
        return "BestEffort"
    return "Guaranteed" if all(_is_guaranteed(r) for r in resources) else "Burstable"


def _positive(amounts: Mapping[str, Any] | None) -> dict[str, Any]:
    """The CPU and memory among the amounts that are more than zero, exactly."""
    exact = {r: quantity.parse(q) for r, q in (amounts or {}).items() if r in ("cpu", "memory")}
    return {r: number for r, number in exact.items() if number > 0}


def _is_guaranteed(resources: Mapping[str, Any]) -> bool:
    limits, asked = _positive(resources.get("limits")), _positive(resources.get("requests"))
    return limits.keys() == {"cpu", "memory"} and all(limits[r] == q for r, q in asked.items())


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` by its value; ``$$`` is a dollar, unknown names stay as written."""

    def value(match: re.Match[str]) -> str:
        whole = match.group(0)
        return "$" if whole == "$$" else env.get(match.group(1), whole)

    return _REFERENCE.sub(value, text)
