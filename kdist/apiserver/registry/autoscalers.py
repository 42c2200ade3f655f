"""HorizontalPodAutoscalers: both versions are judged in the shape of v2."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

from kdist.api import meta, quantity
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.autoscalerversions import METRIC_NOTES, from_v1, to_v1
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import not_negative, ruled, word

_SOURCES = {
    "Object": "object",
    "External": "external",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}
_LONGEST_WINDOW = 3600
_LONGEST_PERIOD = 1800
_RAW_OR_UTILIZATION = "must set either a target raw value or a target utilization"
_RAW_AND_UTILIZATION = "may not set both a target raw value and a target utilization"


class HorizontalPodAutoscalerStrategy(Strategy):
    """HorizontalPodAutoscalers."""

    checks_required = False

    def default(self, obj: Obj) -> None:
        """At least one replica, 80% CPU."""
        spec = obj.setdefault("spec", {})
        fill(spec, minReplicas=1)
        if self.resource.version == "v1":
            if METRIC_NOTES not in meta.annotations(obj):
                fill(spec, targetCPUUtilizationPercentage=80)
        elif not spec.get("metrics"):
            target = {"type": "Utilization", "averageUtilization": 80}
            spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
        if (behavior := spec.get("behavior")) is not None:
            _default_behavior(behavior)

    def prepare_create(self, obj: Obj) -> None:
        """Nothing is observed yet."""
        super().prepare_create(obj)
        counts = {"currentReplicas": 0, "desiredReplicas": 0}
        obj["status"] = counts if self.resource.version == "v1" else {"desiredReplicas": 0}

    def prepare_update(self, new: Obj, old: Obj) -> None:
        """v1 tells what it has no field for in annotations."""
        super().prepare_update(new, old)
        self._annotate(new)

    def prepare_status_update(self, new: Obj, old: Obj) -> None:
        """The same of the status."""
        super().prepare_status_update(new, old)
        self._annotate(new)

    def _annotate(self, obj: Obj) -> None:
        if self.resource.version == "v1":
            obj |= to_v1(from_v1(deepcopy(obj)))

    def check(self, obj: Obj) -> list[Cause]:
        """The range of replicas, what is scaled, by what, and how fast."""
        if self.resource.version == "v1":
            obj = from_v1(deepcopy(obj))
        spec = obj.get("spec") or {}
        return [
            *_replicas(spec, 0 if self.features("HPAScaleToZero") else 1),
            *_reference(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef"),
            *_metrics(spec),
            *_behavior(spec.get("behavior") or {}),
        ]

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Counts are not negative."""
        found = super().validate_status_update(new, old)
        for field in ("currentReplicas", "desiredReplicas"):
            found += not_negative(f"status.{field}", meta.get(new, f"status.{field}"))
        return found


def _default_behavior(behavior: Obj) -> None:
    quick = [{"type": "Pods", "value": 4, "periodSeconds": 15}]
    double = [{"type": "Percent", "value": 100, "periodSeconds": 15}]
    for direction, policies in (("scaleUp", quick + double), ("scaleDown", double)):
        fill(behavior.setdefault(direction, {}), selectPolicy="Max", policies=policies)
    fill(behavior["scaleUp"], stabilizationWindowSeconds=0)


def _replicas(spec: Obj, least: int) -> Iterator[Cause]:
    low, high = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    if low < least:
        yield causes.invalid("spec.minReplicas", low, f"must be greater than or equal to {least}")
    if high < 1:
        yield causes.invalid("spec.maxReplicas", high, "must be greater than 0")
    if high < low:
        yield causes.invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`")


def _reference(reference: Obj, where: str) -> Iterator[Cause]:
    for field in ("kind", "name"):
        if text := reference.get(field):
            yield from ruled(f"{where}.{field}", text, names.path_segment)
        else:
            yield causes.required(f"{where}.{field}")


def _metrics(spec: Obj) -> Iterator[Cause]:
    metrics = spec.get("metrics") or []
    for at, metric in enumerate(metrics):
        yield from _metric(metric, f"spec.metrics[{at}]")
    if spec.get("minReplicas") == 0 and not {m.get("type") for m in metrics} & {"Object", "External"}:
        told = "must specify at least one Object or External metric to support scaling to zero replicas"
        yield causes.forbidden("spec.metrics", told)


def _metric(metric: Obj, where: str) -> Iterator[Cause]:
    kind = metric.get("type") or ""
    if not kind:
        yield causes.required(f"{where}.type", "must specify a metric source type")
    yield from word(f"{where}.type", kind, _SOURCES)
    present = [field for field in _SOURCES.values() if metric.get(field) is not None]
    if present:
        yield from _source(present[0], metric[present[0]], f"{where}.{present[0]}")
    expected = _SOURCES.get(kind)
    if expected and expected not in present:
        yield causes.required(f"{where}.{expected}", "must populate information for the given metric source")
    if len(present) > 1:
        for field in present:
            if field != expected:
                yield causes.forbidden(f"{where}.{field}", "must populate the given metric source only")


def _source(kind: str, source: Obj, where: str) -> Iterator[Cause]:
    target = source.get("target") or {}
    if kind in ("resource", "containerResource"):
        if not source.get("name"):
            yield causes.required(f"{where}.name", "must specify a resource name")
        if kind == "containerResource":
            if container := source.get("container"):
                yield from ruled(f"{where}.container", container, names.dns_label)
            else:
                yield causes.required(f"{where}.container", "must specify a container")
    else:
        if kind == "object":
            yield from _reference(source.get("describedObject") or {}, f"{where}.describedObject")
        if name := meta.get(source, "metric.name"):
            yield from ruled(f"{where}.metric.name", name, names.path_segment)
        else:
            yield causes.required(f"{where}.metric.name", "must specify a metric name")
    yield from _target(target, f"{where}.target")
    yield from _choice(kind, target, f"{where}.target")


def _target(target: Obj, where: str) -> Iterator[Cause]:
    kind = target.get("type") or ""
    if not kind:
        yield causes.required(f"{where}.type", "must specify a metric target type")
    if kind not in ("Utilization", "Value", "AverageValue"):
        yield causes.invalid(f"{where}.type", kind, "must be either Utilization, Value, or AverageValue")
    for field in ("value", "averageValue"):
        if (amount := target.get(field)) is not None and quantity.parse(amount) <= 0:
            yield causes.invalid(f"{where}.{field}", amount, "must be positive")
    if (percent := target.get("averageUtilization")) is not None and percent < 1:
        yield causes.invalid(f"{where}.averageUtilization", percent, "must be greater than 0")


def _choice(kind: str, target: Obj, where: str) -> Iterator[Cause]:
    """Which of the target's values a source takes."""
    raw, average, percent = (target.get(f) for f in ("value", "averageValue", "averageUtilization"))
    if kind in ("resource", "containerResource"):
        if percent is None and average is None:
            yield causes.required(f"{where}.averageUtilization", _RAW_OR_UTILIZATION)
        if percent is not None and average is not None:
            yield causes.forbidden(f"{where}.averageValue", _RAW_AND_UTILIZATION)
    elif kind == "pods":
        if average is None:
            yield causes.required(f"{where}.averageValue", "must specify a positive target averageValue")
    elif raw is None and average is None:
        told = "must set either a target value or averageValue"
        if kind == "external":
            told = "must set either a target value for metric or a per-pod target"
        yield causes.required(f"{where}.averageValue", told)
    elif kind == "external" and raw is not None and average is not None:
        told = "may not set both a target value for metric and a per-pod target"
        yield causes.forbidden(f"{where}.value", told)


def _behavior(behavior: Obj) -> Iterator[Cause]:
    for direction in ("scaleUp", "scaleDown"):
        if (rules := behavior.get(direction)) is not None:
            yield from _rules(rules, f"spec.behavior.{direction}")


def _rules(rules: Obj, where: str) -> Iterator[Cause]:
    window, field = rules.get("stabilizationWindowSeconds"), f"{where}.stabilizationWindowSeconds"
    if window is not None and window < 0:
        yield causes.invalid(field, window, "must be greater than or equal to zero")
    elif window is not None and window > _LONGEST_WINDOW:
        yield causes.invalid(field, window, f"must be less than or equal to {_LONGEST_WINDOW}")
    if (policy := rules.get("selectPolicy")) is not None:
        yield from word(f"{where}.selectPolicy", policy, ("Disabled", "Max", "Min"))
    if not rules.get("policies"):
        yield causes.required(f"{where}.policies", "must specify at least one Policy")
    for at, policy in enumerate(rules.get("policies") or ()):
        yield from _policy(policy, f"{where}.policies[{at}]")


def _policy(policy: Obj, where: str) -> Iterator[Cause]:
    yield from word(f"{where}.type", policy.get("type"), ("Percent", "Pods"))
    for field in ("value", "periodSeconds"):
        if (number := policy.get(field, 0)) <= 0:
            yield causes.invalid(f"{where}.{field}", number, "must be greater than zero")
    if (period := policy.get("periodSeconds", 0)) > _LONGEST_PERIOD:
        told = f"must be less than or equal to {_LONGEST_PERIOD}"
        yield causes.invalid(f"{where}.periodSeconds", period, told)
