"""Disruption budgets, autoscalers, flow control, events."""

from __future__ import annotations

from typing import ClassVar

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import flowcontrol
from kdist.apiserver.registry.base import USERS_METADATA, Strategy
from kdist.apiserver.registry.counts import check_int_or_percent
from kdist.apiserver.registry.labelselectors import check_label_selector
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.conditions import check_conditions
from kdist.apiserver.validation.fields import not_negative, word


class PodDisruptionBudgetStrategy(Strategy):
    """PodDisruptionBudgets: their names have no grammar but that of a path."""

    name_rule = staticmethod(names.path_segment)
    known_finalizers = False
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
        if (policy := spec.get("unhealthyPodEvictionPolicy")) is not None:
            found += word("spec.unhealthyPodEvictionPolicy", policy, ("AlwaysAllow", "IfHealthyBudget"))
        return found

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Conditions are whole, counts not negative."""
        found, status = super().validate_status_update(new, old), new.get("status") or {}
        found += check_conditions(status.get("conditions") or [], "status.conditions")
        for field in self.initial_status:
            found += not_negative(f"status.{field}", status.get(field))
        return found


class FlowSchemaStrategy(Strategy):
    """FlowSchemas."""

    checks_required = False
    tracks_generation = True
    status_keeps = USERS_METADATA

    def default(self, obj: Obj) -> None:
        """In the middle of the order."""
        spec = obj.setdefault("spec", {})
        spec["matchingPrecedence"] = spec.get("matchingPrecedence") or 1000

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
                for field, usual in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
                    queuing[field] = queuing.get(field) or usual

    def check(self, obj: Obj) -> list[Cause]:
        """See :mod:`kdist.apiserver.registry.flowcontrol`."""
        return list(flowcontrol.level_causes(obj))
