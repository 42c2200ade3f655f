"""How fast the number of replicas may follow: stabilization windows, rate policies, bounds. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from kdist.api import meta
from kdist.api.meta import Obj

# Seconds for which a scale-down remembers higher recommendations, unless the behavior says otherwise.
DOWN_WINDOW = 300
_PERCENT: Obj = {"type": "Percent", "value": 100, "periodSeconds": 15}
_DEFAULT_UP = [_PERCENT, {"type": "Pods", "value": 4, "periodSeconds": 15}]
_LONGEST_PERIOD = timedelta(hours=1)


class Past(NamedTuple):
    """A recommendation, or a change of the number of replicas, and when it was."""

    at: datetime
    replicas: int


@dataclass(slots=True)
class History:
    """What one autoscaler recommended and did lately."""

    recommendations: list[Past] = field(default_factory=list)
    ups: list[Past] = field(default_factory=list)
    downs: list[Past] = field(default_factory=list)

    def rescaled(self, before: int, after: int, now: datetime) -> None:
        """Remember a change."""
        events = self.ups if after > before else self.downs
        events.append(Past(now, abs(after - before)))

    def forget(self, now: datetime) -> None:
        """Drop what no window or period can reach."""
        for events in (self.recommendations, self.ups, self.downs):
            events[:] = [past for past in events if past.at > now - _LONGEST_PERIOD]


class Verdict(NamedTuple):
    """A number of replicas; reason and message of what kept it from the wanted one, if anything did."""

    replicas: int
    reason: str = ""
    message: str = ""


def stabilized(spec: Obj, history: History, current: int, wanted: int, now: datetime) -> Verdict:
    """The wanted number, held by recent recommendations; notes the wanted one for the next time."""
    up_window = meta.get(spec, "behavior.scaleUp.stabilizationWindowSeconds", 0)
    down_window = meta.get(spec, "behavior.scaleDown.stabilizationWindowSeconds", DOWN_WINDOW)
    lowest = min([wanted, *_since(history.recommendations, now, up_window)])
    highest = max([wanted, *_since(history.recommendations, now, down_window)])
    history.recommendations.append(Past(now, wanted))
    chosen = min(max(current, lowest), highest)
    if chosen > wanted:
        told = (
            "recent recommendations were higher than current one, applying the highest recent recommendation"
        )
        return Verdict(chosen, "ScaleDownStabilized", told)
    if chosen < wanted:
        told = "recent recommendations were lower than current one, applying the lowest recent recommendation"
        return Verdict(chosen, "ScaleUpStabilized", told)
    return Verdict(wanted)


def limited(spec: Obj, history: History, current: int, wanted: int, now: datetime) -> Verdict:
    """The wanted number within what the policies allow at once and the bounds allow at all."""
    least, most = meta.get(spec, "minReplicas", 1), spec["maxReplicas"]
    if wanted > current:
        rate = max(current, _up_limit(meta.get(spec, "behavior.scaleUp", {}), history, current, now))
        if wanted > min(rate, most):
            if rate < most:
                told = "the desired replica count is increasing faster than the maximum scale rate"
                return Verdict(rate, "ScaleUpLimit", told)
            told = "the desired replica count is more than the maximum replica count"
            return Verdict(most, "TooManyReplicas", told)
    elif wanted < current:
        rate = min(current, _down_limit(meta.get(spec, "behavior.scaleDown", {}), history, current, now))
        if wanted < max(rate, least):
            if rate > least:
                told = "the desired replica count is decreasing faster than the maximum scale rate"
                return Verdict(rate, "ScaleDownLimit", told)
            told = "the desired replica count is less than the minimum replica count"
            return Verdict(least, "TooFewReplicas", told)
    return Verdict(wanted)


def _since(events: Iterable[Past], now: datetime, seconds: int) -> list[int]:
    return [past.replicas for past in events if past.at > now - timedelta(seconds=seconds)]


def _start(history: History, current: int, policy: Obj, now: datetime) -> int:
    """How many there were when the policy's period began."""
    period = policy["periodSeconds"]
    return current - sum(_since(history.ups, now, period)) + sum(_since(history.downs, now, period))


def _up_limit(rules: Obj, history: History, current: int, now: datetime) -> int:
    if rules.get("selectPolicy") == "Disabled":
        return current
    limits = []
    for policy in rules.get("policies") or _DEFAULT_UP:
        start, value = _start(history, current, policy, now), policy["value"]
        limits.append(start + value if policy["type"] == "Pods" else _share(start, 100 + value, math.ceil))
    return min(limits) if rules.get("selectPolicy") == "Min" else max(limits)


def _down_limit(rules: Obj, history: History, current: int, now: datetime) -> int:
    if rules.get("selectPolicy") == "Disabled":
        return current
    limits = []
    for policy in rules.get("policies") or [_PERCENT]:
        start, value = _start(history, current, policy, now), policy["value"]
        limits.append(start - value if policy["type"] == "Pods" else _share(start, 100 - value, math.floor))
    return max(limits) if rules.get("selectPolicy") == "Min" else min(limits)


def _share(whole: int, percent: int, rounded: Any) -> int:
    return int(rounded(whole * percent / 100))
