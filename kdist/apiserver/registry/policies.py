"""Disruption budgets, autoscalers, flow control, events."""

from __future__ import annotations

from typing import ClassVar

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import flowcontrol
from kdist.apiserver.registry.base import USERS_METADATA, Strategy
from kdist.apiserver.registry.labelselectors import check_label_selector
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.registry.workloads import check_int_or_percent
from kdist.apiserver.validation import causes


class PodDisruptionBudgetStrategy(Strategy):
    """PodDisruptionBudgets."""

    tracks_generation = True
    allow_unconditional_update = False
    initial_status: ClassVar[Obj] = {
        "disruptionsAllowed": 0,
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "expectedPods": 0,
    }

    def check(self, obj: Obj) -> list[Cause]:
        """Either a minimum or a maximum, as a count or a percentage."""
        spec = obj.get("spec") or {}
        low, high = spec.get("minAvailable"), spec.get("maxUnavailable")
        found = check_label_selector(spec.get("selector"), "spec.selector")
        if low is not None and high is not None:
            told = "minAvailable and maxUnavailable cannot be both set"
            found.append(causes.invalid("spec", spec, told))
        for field, value in (("minAvailable", low), ("maxUnavailable", high)):
            if value is not None:
                found += check_int_or_percent(value, f"spec.{field}")
        return found


class HorizontalPodAutoscalerStrategy(Strategy):
    """HorizontalPodAutoscalers, both versions."""

    initial_status: ClassVar[Obj] = {"currentReplicas": 0, "desiredReplicas": 0}

    def default(self, obj: Obj) -> None:
        """At least one replica, 80% CPU."""
        spec = obj.setdefault("spec", {})
        fill(spec, minReplicas=1)
        if self.resource.version == "v1":
            fill(spec, targetCPUUtilizationPercentage=80)
        elif not spec.get("metrics"):
            target = {"type": "Utilization", "averageUtilization": 80}
            spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
        if behavior := spec.get("behavior"):
            _default_behavior(behavior)

    def check(self, obj: Obj) -> list[Cause]:
        """The range of replicas."""
        spec = obj.get("spec") or {}
        low, high = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
        found: list[Cause] = []
        least = 0 if self.features("HPAScaleToZero") else 1
        if low < least:
            told = f"must be greater than or equal to {least}"
            found.append(causes.invalid("spec.minReplicas", low, told))
        if high < 1:
            found.append(causes.invalid("spec.maxReplicas", high, "must be greater than 0"))
        elif high < low:
            found.append(
                causes.invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`")
            )
        return found


def _default_behavior(behavior: Obj) -> None:
    quick = [{"type": "Pods", "value": 4, "periodSeconds": 15}]
    double = [{"type": "Percent", "value": 100, "periodSeconds": 15}]
    for direction, policies in (("scaleUp", quick + double), ("scaleDown", double)):
        fill(behavior.setdefault(direction, {}), selectPolicy="Max", policies=policies)
    fill(behavior["scaleUp"], stabilizationWindowSeconds=0)


class EventStrategy(Strategy):
    """Events of core/v1 and events.k8s.io/v1: selectable by what they are about."""

    allow_create_on_update = True

    def fields(self, obj: Obj) -> dict[str, str]:
        """The object, the reason, the source; of the core version, in which every event is stored."""
        about = obj.get("involvedObject") or {}
        keys = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
        reporter = obj.get("reportingComponent") or ""
        return {
            **super().fields(obj),
            **{f"involvedObject.{key}": about.get(key, "") for key in keys},
            "reason": obj.get("reason", ""),
            "reportingComponent": reporter,
            "source": meta.get(obj, "source.component") or reporter,
            "type": obj.get("type", ""),
        }

    def field_label(self, label: str) -> str | None:
        """events.k8s.io has names of its own, and none for the source."""
        if self.resource.group == "":
            return super().field_label(label)
        if label in ("source", "reportingComponent") or label.startswith("involvedObject."):
            return None
        if label == "reportingController":
            return "reportingComponent"
        return super().field_label(label.replace("regarding.", "involvedObject.", 1))

    def check(self, obj: Obj) -> list[Cause]:
        """An event lies in the namespace of what it is about."""
        about, field = obj.get("involvedObject") or {}, "involvedObject.namespace"
        space = about.get("namespace")
        if self.resource.group == "" and space and space != meta.namespace(obj):
            return [causes.invalid(field, space, "does not match event.namespace")]
        return []


class FlowSchemaStrategy(Strategy):
    """FlowSchemas."""

    tracks_generation = True
    status_keeps = USERS_METADATA

    def default(self, obj: Obj) -> None:
        """In the middle of the order."""
        fill(obj.setdefault("spec", {}), matchingPrecedence=1000)

    def check(self, obj: Obj) -> list[Cause]:
        """See :mod:`kdist.apiserver.registry.flowcontrol`."""
        return list(flowcontrol.schema_causes(obj))


class PriorityLevelStrategy(Strategy):
    """PriorityLevelConfigurations."""

    tracks_generation = True
    status_keeps = USERS_METADATA

    def default(self, obj: Obj) -> None:
        """Shares, borrowing and queues of a limited level."""
        spec = obj.setdefault("spec", {})
        if spec.get("type") == "Exempt":
            fill(spec.setdefault("exempt", {}), nominalConcurrencyShares=0, lendablePercent=0)
        if limited := spec.get("limited"):
            fill(limited, nominalConcurrencyShares=30, lendablePercent=0)
            queuing = (limited.get("limitResponse") or {}).get("queuing")
            if queuing is not None:
                fill(queuing, queues=64, handSize=8, queueLengthLimit=50)

    def check(self, obj: Obj) -> list[Cause]:
        """See :mod:`kdist.apiserver.registry.flowcontrol`."""
        return list(flowcontrol.level_causes(obj))
