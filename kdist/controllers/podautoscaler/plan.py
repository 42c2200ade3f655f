"""Replicas from measurements, as the Horizontal Pod Autoscaling page defines them. Pure.

The rule is ``ceil(ready pods * measured / target)``, taken cautiously: small deviations do nothing, and pods
without measurements are given the benefit that keeps a decision from growing or turning around.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from kdist.api import meta, pods, quantity
from kdist.api.meta import Obj

# A deviation from the target of less than this changes nothing.
TOLERANCE = 0.1
# How long the CPU of a starting pod is not believed, and how late its first readiness may come.
CPU_INITIALIZATION = timedelta(minutes=5)
INITIAL_READINESS = timedelta(seconds=30)

Amounts = Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Sample:
    """One pod's measurement: the average over ``window`` up to ``at``."""

    amount: Decimal
    at: datetime
    window: timedelta


@dataclass(frozen=True, slots=True)
class Census:
    """The pods of a target by what can be said of them; names."""

    ready: frozenset[str]
    unready: frozenset[str]
    missing: frozenset[str]


class CannotTell(Exception):
    """The measurements allow no decision."""


def census(targets: Iterable[Obj], samples: Mapping[str, Sample], resource: str, now: datetime) -> Census:
    """Sort pods; those that fail or go away do not count at all."""
    ready, unready, missing = set(), set(), set()
    for pod in targets:
        if meta.is_deleting(pod) or meta.get(pod, "status.phase") == "Failed":
            continue
        name = meta.name(pod)
        if meta.get(pod, "status.phase") == "Pending":
            unready.add(name)
        elif name not in samples:
            missing.add(name)
        elif resource == "cpu" and _is_starting(pod, samples[name], now):
            unready.add(name)
        else:
            ready.add(name)
    return Census(frozenset(ready), frozenset(unready), frozenset(missing))


def _is_starting(pod: Obj, sample: Sample, now: datetime) -> bool:
    condition, started = pods.get_condition(pod, "Ready"), meta.get(pod, "status.startTime")
    if condition is None or started is None:
        return True
    since, start = meta.parse_time(condition["lastTransitionTime"]), meta.parse_time(started)
    unready = condition["status"] == "False"
    if start + CPU_INITIALIZATION > now:
        return unready or sample.at < since + sample.window
    return unready and start + INITIAL_READINESS > since


def requests(targets: Iterable[Obj], resource: str, container: str = "") -> dict[str, Decimal]:
    """What each pod (or one container of it) asks for. CannotTell when a container does not say."""
    wanted = {}
    for pod in targets:
        total = Decimal()
        for one in _lasting(pod):
            if container and one["name"] != container:
                continue
            text = meta.get(one, "resources.requests", {}).get(resource)
            if text is None:
                raise CannotTell(
                    f"missing request for {resource} in container {one['name']} of Pod {meta.name(pod)}"
                )
            total += quantity.parse(text)
        wanted[meta.name(pod)] = total
    return wanted


def _lasting(pod: Obj) -> list[Obj]:
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or () if pods.is_sidecar(c)]
    return [*(spec.get("containers") or ()), *sidecars]


def utilization(amounts: Amounts, wanted: Amounts) -> int:
    """Percent of the requests in use, over all pods together."""
    asked = sum((wanted[name] for name in amounts if name in wanted), Decimal())
    if not asked:
        raise CannotTell("no metrics returned matched known pods")
    used = sum((amount for name, amount in amounts.items() if name in wanted), Decimal())
    return int(used * 100 / asked)


def average(amounts: Amounts) -> Decimal:
    """The mean over the pods."""
    return sum(amounts.values(), Decimal()) / len(amounts)


def replicas(
    current: int,
    found: Census,
    samples: Mapping[str, Sample],
    ratio: Callable[[Amounts], float],
    full: Callable[[str], Decimal],
) -> int:
    """How many are needed. ``ratio`` is measured to target; ``full`` what a pod at its target measures.

    Pods without a sample count as full when the number would shrink and as idle when it would grow; pods that
    are not ready count as idle when it would grow. CannotTell without any sample.
    """
    amounts = {name: samples[name].amount for name in found.ready}
    if not amounts:
        raise CannotTell("did not receive metrics for targeted pods (pods might be unready)")
    first = ratio(amounts)
    grows = first > 1.0
    if not found.missing and not (found.unready and grows):
        return current if is_near(first) else math.ceil(first * len(found.ready))
    if first != 1.0:
        amounts |= {name: Decimal() if grows else full(name) for name in found.missing}
    if grows:
        amounts |= dict.fromkeys(found.unready, Decimal())
    second = ratio(amounts)
    if is_near(second) or (second > 1.0) != grows:
        return current
    wanted = math.ceil(second * len(amounts))
    turned = wanted < current if grows else wanted > current
    return current if turned else wanted


def by_value(current: int, ready: int, value: Decimal, target: Decimal) -> int:
    """For one measurement of the whole: an object's or an external one."""
    ratio = float(value / target)
    if current == 0:
        return math.ceil(ratio)
    return current if is_near(ratio) else math.ceil(ratio * ready)


def by_share(current: int, value: Decimal, target: Decimal) -> int:
    """For one measurement of the whole that is to be shared evenly."""
    if current and is_near(float(value / (target * current))):
        return current
    return math.ceil(value / target)


def is_near(ratio: float) -> bool:
    """Whether the deviation is within the tolerance."""
    return abs(1.0 - ratio) <= TOLERANCE
