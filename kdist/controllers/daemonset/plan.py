"""On which nodes a DaemonSet runs, and which of its pods come and go. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kdist.api import meta, pods, selectors
from kdist.api.kinds import DAEMON_SETS
from kdist.api.meta import Obj
from kdist.controllers.intstr import scaled
from kdist.controllers.pods import from_template, is_available
from kdist.controllers.revisions import REVISION_LABEL

_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)


def tolerations(spec: Mapping[str, Any]) -> list[Obj]:
    """The template's tolerations and those that every daemon has: it stays where other pods leave."""
    wanted = [{"key": k, "operator": "Exists", "effect": effect} for k, effect in _TOLERATED]
    if spec.get("hostNetwork"):
        network = "node.kubernetes.io/network-unavailable"
        wanted.append({"key": network, "operator": "Exists", "effect": "NoSchedule"})
    given = list(spec.get("tolerations") or ())
    return given + [t for t in wanted if t not in given]


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a daemon pod is created on a node, and whether one that is there may stay."""

    should_run: bool
    should_continue: bool


def fit(daemon_set: Obj, node: Obj) -> Fit:
    """Judge one node by name, selector, affinity and taints."""
    spec = daemon_set["spec"]["template"]["spec"]
    if spec.get("nodeName") and spec["nodeName"] != meta.name(node):
        return Fit(False, False)
    if not _selects(spec, node):
        return Fit(False, False)
    given = tolerations(spec)
    taints = [t for t in meta.get(node, "spec.taints", ()) if not pods.tolerates(given, t)]
    if any(t.get("effect") == "NoExecute" for t in taints):
        return Fit(False, False)
    return Fit(not any(t.get("effect") == "NoSchedule" for t in taints), True)


def _selects(spec: Mapping[str, Any], node: Obj) -> bool:
    if not (spec.get("nodeSelector") or {}).items() <= meta.labels(node).items():
        return False
    required = meta.get(spec, "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or selectors.match_node_selector_terms(required["nodeSelectorTerms"], node)


def pod(daemon_set: Obj, node: str, revision: str) -> Obj:
    """The daemon pod for a node: the scheduler binds it, but may choose no other node."""
    made = from_template(daemon_set["spec"]["template"], daemon_set, DAEMON_SETS)
    made["metadata"]["labels"][REVISION_LABEL] = revision
    spec = made["spec"]
    spec["tolerations"] = tolerations(spec)
    field_term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    terms = required.get("nodeSelectorTerms") or [{}]
    # The template's own field terms could name other nodes; the expressions stay.
    required["nodeSelectorTerms"] = [{**deepcopy(t), **field_term} for t in terms]
    return made


def node_of(daemon_pod: Obj) -> str:
    """The node that a daemon pod is on or bound for."""
    if name := daemon_pod["spec"].get("nodeName"):
        return str(name)
    path = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
    for term in meta.get(daemon_pod, path, ()):
        for expression in term.get("matchFields") or ():
            if expression["key"] == "metadata.name" and expression.get("values"):
                return str(expression["values"][0])
    return ""


@dataclass(slots=True)
class Plan:
    """What to do: nodes that get a pod, pods to delete, and finished pods among them worth an event."""

    create: list[str] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)
    failed: list[Obj] = field(default_factory=list)


def by_node(daemon_pods: Iterable[Obj]) -> dict[str, list[Obj]]:
    """The pods of each node."""
    grouped: dict[str, list[Obj]] = {}
    for daemon_pod in daemon_pods:
        grouped.setdefault(node_of(daemon_pod), []).append(daemon_pod)
    return grouped


def manage(daemon_set: Obj, nodes: Iterable[Obj], daemon_pods: dict[str, list[Obj]], surge: bool) -> Plan:
    """One pod for each node that should have one, none for the others.

    With ``surge`` a node may have two while the new one becomes available, see :func:`roll`.
    """
    plan, names = Plan(), set()
    for node in nodes:
        name = meta.name(node)
        names.add(name)
        verdict, here = fit(daemon_set, node), daemon_pods.get(name, [])
        live = [p for p in here if not meta.is_deleting(p)]
        if not verdict.should_continue:
            plan.delete += live
            continue
        finished = [p for p in live if pods.is_terminal(p)]
        plan.failed += [p for p in finished if meta.get(p, "status.phase") == "Failed"]
        plan.delete += finished
        running = [p for p in live if not pods.is_terminal(p)]
        # A pod that is still going away holds its place, so that two never run at once.
        if verdict.should_run and not here:
            plan.create.append(name)
        if not surge:
            plan.delete += _oldest_first(running)[1:]
    for name, stranded in daemon_pods.items():
        if name not in names:
            plan.delete += [p for p in stranded if not meta.is_deleting(p) and not p["spec"].get("nodeName")]
    return plan


def _oldest_first(running: list[Obj]) -> list[Obj]:
    return sorted(running, key=lambda p: (not p["spec"].get("nodeName"), _created(p), meta.name(p)))


def _created(obj: Obj) -> str:
    return str(meta.get(obj, "metadata.creationTimestamp", ""))


@dataclass(frozen=True, slots=True)
class Limits:
    """How many nodes may be without an available pod, or have two, during an update."""

    unavailable: int
    surge: int


def limits(daemon_set: Obj, wanted: int) -> Limits:
    """Resolve percentages of the nodes that should have a pod; both round up."""
    rolling = meta.get(daemon_set, "spec.updateStrategy.rollingUpdate", {})
    surge = scaled(rolling.get("maxSurge"), wanted, round_up=True)
    unavailable = scaled(rolling.get("maxUnavailable"), wanted, round_up=True, default=1)
    return Limits(max(unavailable, 1) if not surge else unavailable, surge)


def roll(
    daemon_set: Obj,
    nodes: Iterable[Obj],
    daemon_pods: dict[str, list[Obj]],
    revision: str,
    now: datetime,
) -> Plan:
    """The next step of a rolling update: old pods to delete, and with surge nodes to get a second pod."""
    wanted = [meta.name(n) for n in nodes if fit(daemon_set, n).should_run]
    limit = limits(daemon_set, len(wanted))
    min_ready = meta.get(daemon_set, "spec.minReadySeconds", 0)
    if limit.surge:
        return _roll_with_surge(wanted, daemon_pods, revision, limit, min_ready, now)
    plan, unavailable, candidates = Plan(), 0, []
    for name in wanted:
        new, old = _sides(daemon_pods.get(name, []), revision)
        if old and not new:
            if not is_available(old, min_ready, now):
                plan.delete.append(old)  # it serves nobody: replacing it costs nothing
                unavailable += 1
            else:
                candidates.append(old)
        elif new is None or not is_available(new, min_ready, now):
            unavailable += 1
    plan.delete += candidates[: max(0, limit.unavailable - unavailable)]
    return plan


def _roll_with_surge(
    wanted: list[str],
    daemon_pods: dict[str, list[Obj]],
    revision: str,
    limit: Limits,
    min_ready: int,
    now: datetime,
) -> Plan:
    plan, surging, candidates = Plan(), 0, []
    for name in wanted:
        new, old = _sides(daemon_pods.get(name, []), revision)
        if old is None:
            continue
        if new is not None:
            if is_available(new, min_ready, now):
                plan.delete.append(old)
            else:
                surging += 1
        elif is_available(old, min_ready, now):
            candidates.append(name)
        else:
            plan.create.append(name)  # the old one serves nobody: not counted
    plan.create += candidates[: max(0, limit.surge - surging)]
    return plan


def _sides(here: list[Obj], revision: str) -> tuple[Obj | None, Obj | None]:
    """A node's living pod of the revision, and its living pod of any other."""
    new = old = None
    for daemon_pod in here:
        if meta.is_deleting(daemon_pod):
            continue
        if meta.labels(daemon_pod).get(REVISION_LABEL) == revision:
            new = new or daemon_pod
        else:
            old = old or daemon_pod
    return new, old


def status(
    daemon_set: Obj, nodes: Iterable[Obj], daemon_pods: dict[str, list[Obj]], revision: str, now: datetime
) -> Obj:
    """The new status."""
    count = dict.fromkeys(("desired", "current", "mis", "ready", "available", "updated"), 0)
    min_ready = meta.get(daemon_set, "spec.minReadySeconds", 0)
    for node in nodes:
        here = daemon_pods.get(meta.name(node), [])
        if not fit(daemon_set, node).should_run:
            count["mis"] += bool(here)
            continue
        count["desired"] += 1
        if not here:
            continue
        count["current"] += 1
        count["ready"] += any(pods.is_ready(p) for p in here)
        count["available"] += any(is_available(p, min_ready, now) for p in here)
        newest = max((_created(p), meta.labels(p).get(REVISION_LABEL, "")) for p in here)
        count["updated"] += newest[1] == revision
    return _status(daemon_set, count)


def _status(daemon_set: Obj, count: dict[str, int]) -> Obj:
    before = daemon_set.get("status") or {}
    optional = {
        "updatedNumberScheduled": count["updated"],
        "numberAvailable": count["available"],
        "numberUnavailable": count["desired"] - count["available"],
        "collisionCount": before.get("collisionCount"),
        "conditions": before.get("conditions"),
    }
    return {
        "currentNumberScheduled": count["current"],
        "numberMisscheduled": count["mis"],
        "desiredNumberScheduled": count["desired"],
        "numberReady": count["ready"],
        "observedGeneration": meta.get(daemon_set, "metadata.generation", 0),
        **{name: value for name, value in optional.items() if value},
    }
