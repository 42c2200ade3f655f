"""What a node's silence means: conditions that become Unknown, and the taints that conditions call for. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass

from kdist.api import meta, pods
from kdist.api.meta import Obj

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
# Condition that is True -> taint without NoExecute.
_PRESSURES = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_REPORTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_NO_SCHEDULE_KEYS = {NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_PRESSURES.values()}


def ready_status(node: Obj) -> str:
    """True, False or Unknown; Unknown as well for a node that never reported."""
    condition = pods.get_condition(node, "Ready")
    return str(condition["status"]) if condition else "Unknown"


def fingerprint(node: Obj, lease: Obj | None) -> tuple[str, ...]:
    """Changes with every sign of life: the node's heartbeats and its Lease."""
    ready = pods.get_condition(node, "Ready") or {}
    return (
        ready.get("lastHeartbeatTime") or "",
        ready.get("status") or "",
        meta.get(lease, "spec.renewTime", ""),
    )


def silenced(node: Obj, now: str) -> Obj | None:
    """The status of a node that stopped reporting; None when it says so already."""
    changed = deepcopy(node)
    different = False
    for kind in _REPORTED:
        old = pods.get_condition(node, kind)
        if old is not None and old["status"] == "Unknown":
            continue
        reason, message = "NodeStatusUnknown", "Kubelet stopped posting node status."
        if old is None:
            reason, message = "NodeStatusNeverUpdated", "Kubelet never posted node status."
        pods.set_condition(changed, kind, "Unknown", reason, message, now)
        different = True
    return {"status": {"conditions": changed["status"]["conditions"]}} if different else None


def no_schedule(node: Obj) -> set[str]:
    """Keys of the NoSchedule taints that the node's conditions call for."""
    keys = {taint for kind, taint in _PRESSURES.items() if _is_true(node, kind)}
    ready = pods.get_condition(node, "Ready")
    if ready is not None and ready["status"] == "False":
        keys.add(NOT_READY)
    elif ready is not None and ready["status"] == "Unknown":
        keys.add(UNREACHABLE)
    if meta.get(node, "spec.unschedulable"):
        keys.add(UNSCHEDULABLE)
    return keys


def _is_true(node: Obj, kind: str) -> bool:
    condition = pods.get_condition(node, kind)
    return condition is not None and condition["status"] == "True"


def no_execute(node: Obj) -> str | None:
    """The key of the NoExecute taint that the node should have."""
    return {"False": NOT_READY, "Unknown": UNREACHABLE}.get(ready_status(node))


def has_no_execute(node: Obj) -> bool:
    """Whether the pods of the node are being evicted for its readiness."""
    return any(
        t.get("effect") == "NoExecute" and t["key"] in (NOT_READY, UNREACHABLE)
        for t in meta.get(node, "spec.taints", ())
    )


def taints(node: Obj, schedule_keys: set[str], execute_key: str | None, now: str) -> list[Obj] | None:
    """The node's taints with ours as told, others untouched; None when nothing changes."""
    wanted = {(key, "NoSchedule") for key in schedule_keys}
    if execute_key:
        wanted.add((execute_key, "NoExecute"))
    kept: list[Obj] = []
    removed = False
    for taint in meta.get(node, "spec.taints", ()):
        identity = (taint["key"], taint.get("effect"))
        if identity in wanted:
            wanted.discard(identity)
        elif _is_ours(*identity):
            removed = True
            continue
        kept.append(taint)
    if not wanted and not removed:
        return None
    return kept + [{"key": key, "effect": effect, "timeAdded": now} for key, effect in sorted(wanted)]


def _is_ours(key: str, effect: str | None) -> bool:
    if effect == "NoExecute":
        return key in (NOT_READY, UNREACHABLE)
    return effect == "NoSchedule" and key in _NO_SCHEDULE_KEYS


@dataclass(frozen=True, slots=True)
class Rates:
    """Nodes a second that may be given up in a zone, and when a zone counts as unhealthy or large."""

    normal: float
    secondary: float
    unhealthy: float
    large: int


def zone(node: Obj) -> str:
    """Region and zone of a node; nodes without labels share one zone."""
    labels = meta.labels(node)
    region = labels.get("topology.kubernetes.io/region", "")
    return f"{region}:{labels.get('topology.kubernetes.io/zone', '')}"


def eviction_rates(nodes: Iterable[Obj], rates: Rates) -> dict[str, float]:
    """The rate of each zone. When no node at all is ready the fault is here, not there: nothing is given up."""
    zones: dict[str, list[bool]] = {}
    for node in nodes:
        zones.setdefault(zone(node), []).append(ready_status(node) == "True")
    if not any(any(states) for states in zones.values()):
        return dict.fromkeys(zones, 0.0)
    return {name: _rate(states, rates) for name, states in zones.items()}


def _rate(states: list[bool], rates: Rates) -> float:
    bad = states.count(False)
    if bad == len(states):
        return rates.normal
    if bad > 2 and bad / len(states) >= rates.unhealthy:
        return rates.secondary if len(states) > rates.large else 0.0
    return rates.normal


class ZoneLimiter:
    """Lets one node of a zone through, then the next after 1/rate seconds."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def admit(self, name: str, rate: float, now: float) -> bool:
        """Whether a node of the zone may be given up now."""
        if rate <= 0 or (name in self._last and now - self._last[name] < 1 / rate):
            return False
        self._last[name] = now
        return True
