"""Between versions of one kind that share their storage.

Versions of the same shape differ only in their apiVersion; the others are listed in :data:`_CONVERSIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from kdist.api.meta import Obj
from kdist.api.resources import Resource

_METRIC_NOTES = "autoscaling.alpha.kubernetes.io/metrics"
_BEHAVIOR_NOTES = "autoscaling.alpha.kubernetes.io/behavior"
_CONDITION_NOTES = "autoscaling.alpha.kubernetes.io/conditions"


def convert(obj: Obj, to: Resource) -> Obj:
    """The object in the version of ``to``; may change and return its argument."""
    have = obj.get("apiVersion", "")
    if have == to.api_version:
        return obj
    special = _CONVERSIONS.get((to.kind, have, to.api_version))
    converted = special(obj) if special else obj
    converted["apiVersion"] = to.api_version
    return converted


def _rename(obj: Obj, names: dict[str, str]) -> Obj:
    return {names.get(key, key): value for key, value in obj.items()}


_EVENT_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}


def _event_to_new(obj: Obj) -> Obj:
    return _rename(obj, _EVENT_NAMES)


def _event_to_core(obj: Obj) -> Obj:
    return _rename(obj, {new: old for old, new in _EVENT_NAMES.items()})


def _is_cpu_utilization(metric: Obj) -> bool:
    resource = metric.get("resource") or {}
    average = (resource.get("target") or resource.get("current") or {}).get("averageUtilization")
    return metric.get("type") == "Resource" and resource.get("name") == "cpu" and average is not None


def _hpa_to_v1(obj: Obj) -> Obj:
    """v1 knows one metric, CPU utilization; what it has no field for travels in annotations."""
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    notes: dict[str, str] = {}
    metrics = spec.pop("metrics", None) or []
    for metric in metrics:
        if _is_cpu_utilization(metric):
            spec["targetCPUUtilizationPercentage"] = metric["resource"]["target"]["averageUtilization"]
    _note(notes, _METRIC_NOTES, [m for m in metrics if not _is_cpu_utilization(m)])
    _note(notes, _BEHAVIOR_NOTES, spec.pop("behavior", None))
    for metric in status.pop("currentMetrics", None) or []:
        if _is_cpu_utilization(metric):
            status["currentCPUUtilizationPercentage"] = metric["resource"]["current"]["averageUtilization"]
    _note(notes, _CONDITION_NOTES, status.pop("conditions", None))
    if notes:
        metadata = obj["metadata"]
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **notes}
    return {**obj, "spec": spec, "status": status}


def _hpa_to_v2(obj: Obj) -> Obj:
    spec, status, metadata = dict(obj.get("spec") or {}), dict(obj.get("status") or {}), obj["metadata"]
    annotations = dict(metadata.get("annotations") or {})
    metrics = _noted(annotations, _METRIC_NOTES) or []
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    for field, value in (("metrics", metrics), ("behavior", _noted(annotations, _BEHAVIOR_NOTES))):
        if value:
            spec[field] = value
    current = status.pop("currentCPUUtilizationPercentage", None)
    if current is not None:
        cpu = {"name": "cpu", "current": {"averageUtilization": current}}
        status["currentMetrics"] = [{"type": "Resource", "resource": cpu}]
    if conditions := _noted(annotations, _CONDITION_NOTES):
        status["conditions"] = conditions
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    return {**obj, "spec": spec, "status": status}


def _note(notes: dict[str, str], key: str, value: Any) -> None:
    if value:
        notes[key] = orjson.dumps(value).decode()


def _noted(annotations: dict[str, str], key: str) -> Any:
    text = annotations.pop(key, "")
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:  # a user's own words: upstream ignores them, too
        return None


_CONVERSIONS: dict[tuple[str, str, str], Callable[[Obj], Obj]] = {
    ("Event", "v1", "events.k8s.io/v1"): _event_to_new,
    ("Event", "events.k8s.io/v1", "v1"): _event_to_core,
    ("HorizontalPodAutoscaler", "autoscaling/v2", "autoscaling/v1"): _hpa_to_v1,
    ("HorizontalPodAutoscaler", "autoscaling/v1", "autoscaling/v2"): _hpa_to_v2,
}
