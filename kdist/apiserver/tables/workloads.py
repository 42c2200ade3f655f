"""Tables of workloads: apps, batch, autoscaling, disruption budgets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.apiserver.tables.columns import (
    NONE,
    UNKNOWN,
    UNSET,
    age,
    duration,
    images,
    labels,
    printer,
    selector,
    shown,
    since,
)


def _spec(obj: Obj) -> Obj:
    return obj.get("spec") or {}


def _status(obj: Obj) -> Obj:
    return obj.get("status") or {}


def _template(obj: Obj) -> Obj:
    found: Obj = meta.get(obj, "spec.template.spec", {})
    return found


@printer("Ready", "Up-to-date", "Available", "Age", "+Containers", "+Images", "+Selector")
def DEPLOYMENT(obj: Obj, now: datetime) -> list[Any]:
    """Deployments."""
    spec, status = _spec(obj), _status(obj)
    return [
        meta.name(obj),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(obj, now),
        *images(_template(obj)),
        selector(spec.get("selector")),
    ]


def _replicas(obj: Obj, now: datetime, chosen: str) -> list[Any]:
    spec, status = _spec(obj), _status(obj)
    counts = [spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [meta.name(obj), *counts, age(obj, now), *images(_template(obj)), chosen]


_REPLICA_COLUMNS = (
    "Desired:integer",
    "Current:integer",
    "Ready:integer",
    "Age",
    "+Containers",
    "+Images",
    "+Selector",
)


@printer(*_REPLICA_COLUMNS)
def REPLICA_SET(obj: Obj, now: datetime) -> list[Any]:
    """ReplicaSets."""
    return _replicas(obj, now, selector(_spec(obj).get("selector")))


@printer(*_REPLICA_COLUMNS)
def REPLICATION_CONTROLLER(obj: Obj, now: datetime) -> list[Any]:
    """ReplicationControllers."""
    return _replicas(obj, now, labels(_spec(obj).get("selector")))


@printer("Ready", "Age", "+Containers", "+Images")
def STATEFUL_SET(obj: Obj, now: datetime) -> list[Any]:
    """StatefulSets."""
    ready = f"{_status(obj).get('readyReplicas', 0)}/{_spec(obj).get('replicas', 0)}"
    return [meta.name(obj), ready, age(obj, now), *images(_template(obj))]


@printer(
    "Desired:integer",
    "Current:integer",
    "Ready:integer",
    "Up-to-date:integer",
    "Available:integer",
    "Node Selector",
    "Age",
    "+Containers",
    "+Images",
    "+Selector",
)
def DAEMON_SET(obj: Obj, now: datetime) -> list[Any]:
    """DaemonSets."""
    status = _status(obj)
    counts = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    return [
        meta.name(obj),
        *(status.get(count, 0) for count in counts),
        labels(_template(obj).get("nodeSelector")),
        age(obj, now),
        *images(_template(obj)),
        selector(_spec(obj).get("selector")),
    ]


@printer("Controller", "Revision", "Age")
def CONTROLLER_REVISION(obj: Obj, now: datetime) -> list[Any]:
    """ControllerRevisions."""
    owner = meta.controller_of(obj)
    controller = NONE
    if owner:
        group = owner["apiVersion"].rpartition("/")[0]
        controller = f"{owner['kind'].lower()}{'.' + group if group else ''}/{owner['name']}"
    return [meta.name(obj), controller, obj.get("revision", 0), age(obj, now)]


@printer("Status", "Completions", "Duration", "Age", "+Containers", "+Images", "+Selector")
def JOB(obj: Obj, now: datetime) -> list[Any]:
    """Jobs."""
    spec, status = _spec(obj), _status(obj)
    done = status.get("succeeded", 0)
    if spec.get("completions") is not None:
        completions = f"{done}/{spec['completions']}"
    else:
        parallelism = spec.get("parallelism") or 0
        completions = f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"
    return [
        meta.name(obj),
        _job_word(obj),
        completions,
        _job_duration(status, now),
        age(obj, now),
        *images(_template(obj)),
        selector(spec.get("selector")),
    ]


def _job_word(obj: Obj) -> str:
    held = {c["type"] for c in _status(obj).get("conditions") or () if c.get("status") == "True"}
    for condition, word in (
        ("Complete", "Complete"),
        ("Failed", "Failed"),
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ):
        if condition in held:
            return word
    return "Terminating" if meta.is_deleting(obj) else "Running"


def _job_duration(status: Obj, now: datetime) -> str:
    start, end = status.get("startTime"), status.get("completionTime")
    if not start:
        return ""
    if not end:
        return since(start, now)
    return duration((meta.parse_time(end) - meta.parse_time(start)).total_seconds())


@printer(
    "Schedule",
    "Timezone",
    "Suspend:boolean",
    "Active:integer",
    "Last Schedule",
    "Age",
    "+Containers",
    "+Images",
    "+Selector",
)
def CRON_JOB(obj: Obj, now: datetime) -> list[Any]:
    """CronJobs."""
    spec, status = _spec(obj), _status(obj)
    last = status.get("lastScheduleTime")
    job = meta.get(spec, "jobTemplate.spec", {})
    return [
        meta.name(obj),
        spec.get("schedule", ""),
        shown(spec.get("timeZone")),
        "True" if spec.get("suspend") else "False",
        len(status.get("active") or ()),
        since(last, now) if last else NONE,
        age(obj, now),
        *images(meta.get(job, "template.spec")),
        selector(job.get("selector")),
    ]


@printer("Containers", "Images", "Pod Labels")
def POD_TEMPLATE(obj: Obj, now: datetime) -> list[Any]:
    """PodTemplates."""
    return [
        meta.name(obj),
        *images(meta.get(obj, "template.spec")),
        labels(meta.get(obj, "template.metadata.labels")),
    ]


@printer("Min Available", "Max Unavailable", "Allowed Disruptions:integer", "Age")
def POD_DISRUPTION_BUDGET(obj: Obj, now: datetime) -> list[Any]:
    """PodDisruptionBudgets."""
    spec = _spec(obj)
    return [
        meta.name(obj),
        str(spec.get("minAvailable", "N/A")),
        str(spec.get("maxUnavailable", "N/A")),
        _status(obj).get("disruptionsAllowed", 0),
        age(obj, now),
    ]


@printer("Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age")
def HORIZONTAL_POD_AUTOSCALER(obj: Obj, now: datetime) -> list[Any]:
    """HorizontalPodAutoscalers, both versions."""
    spec, status = _spec(obj), _status(obj)
    target = spec.get("scaleTargetRef") or {}
    return [
        meta.name(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _metrics(spec, status),
        str(spec.get("minReplicas", UNSET)),
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        age(obj, now),
    ]


def _metrics(spec: Obj, status: Obj) -> str:
    if "targetCPUUtilizationPercentage" in spec:
        have = status.get("currentCPUUtilizationPercentage")
        percent = f"{have}%" if have is not None else UNKNOWN
        return f"cpu: {percent}/{spec['targetCPUUtilizationPercentage']}%"
    metrics, current = spec.get("metrics") or [], status.get("currentMetrics") or []
    told = [_metric(m, current[at] if at < len(current) else {}) for at, m in enumerate(metrics[:2])]
    if not told:
        return NONE
    more = f" + {len(metrics) - 2} more..." if len(metrics) > 2 else ""
    return ", ".join(told) + more


def _metric(metric: Obj, current: Obj) -> str:
    kind = metric.get("type", "")
    field = kind[:1].lower() + kind[1:]
    wanted = meta.get(metric, f"{field}.target", {})
    have = meta.get(current, f"{field}.current", {})
    if "averageUtilization" in wanted:
        percent = have.get("averageUtilization")
        name = meta.get(metric, f"{field}.name", "")
        return f"{name}: {UNKNOWN if percent is None else f'{percent}%'}/{wanted['averageUtilization']}%"
    if "averageValue" in wanted and field in ("resource", "containerResource"):
        name = meta.get(metric, f"{field}.name", "")
        return f"{name}: {have.get('averageValue', UNKNOWN)}/{wanted['averageValue']}"
    if "averageValue" in wanted:
        return f"{have.get('averageValue', UNKNOWN)}/{wanted['averageValue']}" + (
            " (avg)" if kind in ("External", "Object") else ""
        )
    return f"{have.get('value', UNKNOWN)}/{wanted.get('value', '')}"
