"""HorizontalPodAutoscalers between v1 and v2.

v1 knows one metric, CPU utilization. What else there is travels in annotations, where metrics have shapes of their
own: ``targetAverageUtilization`` instead of ``target.averageUtilization``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from kdist.api.meta import Obj

METRIC_NOTES = "autoscaling.alpha.kubernetes.io/metrics"
_CURRENT_NOTES = "autoscaling.alpha.kubernetes.io/current-metrics"
_BEHAVIOR_NOTES = "autoscaling.alpha.kubernetes.io/behavior"
_CONDITION_NOTES = "autoscaling.alpha.kubernetes.io/conditions"
NOTES = (METRIC_NOTES, _CURRENT_NOTES, _BEHAVIOR_NOTES, _CONDITION_NOTES)
_OF_RESOURCES = ("resource", "containerResource")
_SOURCES = {
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "External": "external",
}


def to_v1(obj: Obj) -> Obj:
    """A v2 object as v1; may change its argument."""
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    notes: dict[str, str] = {}
    metrics = spec.pop("metrics", None) or []
    for metric in metrics:
        if _is_cpu_utilization(metric):
            spec["targetCPUUtilizationPercentage"] = metric["resource"]["target"]["averageUtilization"]
    _note(notes, METRIC_NOTES, [_told(m, _told_target) for m in metrics if not _is_cpu_utilization(m)])
    _note(notes, _BEHAVIOR_NOTES, spec.pop("behavior", None))
    current = status.pop("currentMetrics", None) or []
    for metric in current:
        if _is_cpu_utilization(metric):
            status["currentCPUUtilizationPercentage"] = metric["resource"]["current"]["averageUtilization"]
    _note(notes, _CURRENT_NOTES, [_told(m, _told_current) for m in current])
    _note(notes, _CONDITION_NOTES, status.pop("conditions", None))
    if notes:
        metadata = obj["metadata"]
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **notes}
    return {**obj, "spec": spec, "status": status}


def from_v1(obj: Obj) -> Obj:
    """A v1 object as v2; may change its argument."""
    spec, status, metadata = dict(obj.get("spec") or {}), dict(obj.get("status") or {}), obj["metadata"]
    annotations = dict(metadata.get("annotations") or {})
    metrics = [_meant(m, _meant_target) for m in _noted(annotations, METRIC_NOTES) or []]
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    for field, value in (("metrics", metrics), ("behavior", _noted(annotations, _BEHAVIOR_NOTES))):
        if value:
            spec[field] = value
    current = [_meant(m, _meant_current) for m in _noted(annotations, _CURRENT_NOTES) or []]
    percent = status.pop("currentCPUUtilizationPercentage", None)
    if percent is not None:
        cpu = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}}
        current = [cpu, *(m for m in current if not _is_cpu_utilization(m))]
    if current:
        status["currentMetrics"] = current
    if conditions := _noted(annotations, _CONDITION_NOTES):
        status["conditions"] = conditions
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    return {**obj, "spec": spec, "status": status}


def _is_cpu_utilization(metric: Obj) -> bool:
    resource = metric.get("resource") or {}
    average = (resource.get("target") or resource.get("current") or {}).get("averageUtilization")
    return metric.get("type") == "Resource" and resource.get("name") == "cpu" and average is not None


Shape = Callable[[str, Obj], Obj]


def _told(metric: Obj, shape: Shape) -> Obj:
    """A metric of v2 in the shape of the annotation."""
    kind = metric.get("type", "")
    field = _SOURCES.get(kind, "")
    source = metric.get(field)
    return {"type": kind, **({field: shape(field, source)} if source is not None else {})}


def _told_target(field: str, source: Obj) -> Obj:
    target = source.get("target") or {}
    average, percent = target.get("averageValue"), target.get("averageUtilization")
    if field in _OF_RESOURCES:
        told = {
            "name": source.get("name", ""),
            "targetAverageUtilization": percent,
            "targetAverageValue": average,
        }
        return _present({**told, "container": source.get("container")})
    name, selector = _metric_of(source)
    if field == "pods":
        return _present({"metricName": name, "targetAverageValue": average or "0", "selector": selector})
    if field == "object":
        about, value = source.get("describedObject") or {}, target.get("value") or "0"
        told = {"target": about, "metricName": name, "targetValue": value, "selector": selector}
        return _present({**told, "averageValue": average})
    told = {"metricName": name, "metricSelector": selector, "targetValue": target.get("value")}
    return _present({**told, "targetAverageValue": average})


def _told_current(field: str, source: Obj) -> Obj:
    current = source.get("current") or {}
    average, percent = current.get("averageValue"), current.get("averageUtilization")
    if field in _OF_RESOURCES:
        told = {"name": source.get("name", ""), "currentAverageUtilization": percent}
        told["currentAverageValue"] = average or "0"
        return _present({**told, "container": source.get("container")})
    name, selector = _metric_of(source)
    if field == "pods":
        return _present({"metricName": name, "currentAverageValue": average or "0", "selector": selector})
    value = current.get("value") or "0"
    if field == "object":
        about = source.get("describedObject") or {}
        told = {"target": about, "metricName": name, "currentValue": value, "selector": selector}
        return _present({**told, "averageValue": average})
    told = {"metricName": name, "metricSelector": selector, "currentValue": value}
    return _present({**told, "currentAverageValue": average})


def _metric_of(source: Obj) -> tuple[str, Obj | None]:
    metric = source.get("metric") or {}
    return metric.get("name", ""), metric.get("selector")


def _meant(metric: Obj, shape: Shape) -> Obj:
    """A metric of the annotation in the shape of v2."""
    kind = metric.get("type", "")
    field = _SOURCES.get(kind, "")
    source = metric.get(field)
    return {"type": kind, **({field: shape(field, source)} if isinstance(source, dict) else {})}


def _meant_target(field: str, told: Obj) -> Obj:
    if field in _OF_RESOURCES:
        percent, average = told.get("targetAverageUtilization"), told.get("targetAverageValue")
        kind = "Utilization" if percent is not None else "AverageValue"
        target = {"type": kind, "averageUtilization": percent, "averageValue": average}
        named = {"name": told.get("name", ""), "target": _present(target)}
        return _present({**named, "container": told.get("container")})
    average = told.get("averageValue") if field == "object" else told.get("targetAverageValue")
    value = told.get("targetValue")
    if average is not None and (field == "pods" or value in (None, "0")):
        target = {"type": "AverageValue", "averageValue": average}
    else:
        target = {"type": "Value", "value": value or "0", "averageValue": average}
    return {**_meant_metric(field, told), "target": _present(target)}


def _meant_current(field: str, told: Obj) -> Obj:
    average, percent = told.get("currentAverageValue"), told.get("currentAverageUtilization")
    if field in _OF_RESOURCES:
        current = _present(
            {"averageUtilization": percent, "averageValue": None if average == "0" else average}
        )
        return _present(
            {"name": told.get("name", ""), "current": current, "container": told.get("container")}
        )
    if field == "object":
        average = told.get("averageValue")
    current = _present({"value": told.get("currentValue"), "averageValue": average})
    return {**_meant_metric(field, told), "current": current}


def _meant_metric(field: str, told: Obj) -> Obj:
    selector = told.get("metricSelector") if field == "external" else told.get("selector")
    metric = _present({"name": told.get("metricName", ""), "selector": selector})
    return (
        {"describedObject": told.get("target") or {}, "metric": metric}
        if field == "object"
        else {"metric": metric}
    )


def _present(fields: Obj) -> Obj:
    return {k: v for k, v in fields.items() if v is not None}


def _note(notes: dict[str, str], key: str, value: Any) -> None:
    if value:
        notes[key] = orjson.dumps(value).decode()


def _noted(annotations: dict[str, str], key: str) -> Any:
    text = annotations.pop(key, "")
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:  # a user's own words: upstream ignores them, too
        return None
