"""What each metric of an autoscaler proposes: measured by :mod:`measurements`, decided by :mod:`plan`."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from kdist.api import pods, quantity
from kdist.api.errors import ApiError
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.controllers.podautoscaler import plan
from kdist.controllers.podautoscaler.measurements import Measurements
from kdist.controllers.podautoscaler.plan import Amounts, CannotTell, Sample


@dataclass(frozen=True, slots=True)
class Target:
    """What is scaled, as of now."""

    namespace: str
    selector: str
    pods: list[Obj]
    replicas: int  # wanted
    running: int  # in the status
    now: datetime


@dataclass(frozen=True, slots=True)
class Proposal:
    """A number of replicas because of a metric, and the metric's current value for the status."""

    replicas: int
    because: str
    current: Obj


class MetricFailed(Exception):
    """A metric could not be evaluated; ``reason`` is that of the condition."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Proposals:
    """Evaluates metrics of an autoscaler's spec."""

    def __init__(self, measurements: Measurements, find_kind: Callable[[Obj], Awaitable[Kind]]) -> None:
        self._measurements, self._find_kind = measurements, find_kind

    async def of(self, metric: Obj, target: Target) -> Proposal:
        """What one metric proposes. Raises MetricFailed."""
        type = metric["type"]
        evaluate = {
            "Resource": self._resource,
            "ContainerResource": self._resource,
            "Pods": self._pods,
            "Object": self._object,
            "External": self._external,
        }[type]
        field = type[0].lower() + type[1:]
        try:
            replicas, because, told, current = await evaluate(metric[field], target)
        except (ApiError, CannotTell) as error:
            raise MetricFailed(
                f"FailedGet{type}Metric", f"failed to get {_name(metric[field])}: {error}"
            ) from error
        return Proposal(replicas, because, {"type": type, field: {**told, "current": current}})

    async def _resource(self, metric: Obj, target: Target) -> tuple[int, str, Obj, Obj]:
        name, container, goal = metric["name"], metric.get("container", ""), metric["target"]
        samples = await self._measurements.of_resource(target.namespace, target.selector, name, container)
        told = {"name": name, **({"container": container} if container else {})}
        what = f"{name} container resource" if container else f"{name} resource"
        percent = goal.get("averageUtilization")
        if percent is None:
            replicas, current = _by_average(target, samples, quantity.parse(goal["averageValue"]), name)
            return replicas, f"{what}", told, current
        wanted = plan.requests(target.pods, name, container)
        replicas = plan.replicas(
            target.replicas,
            plan.census(target.pods, samples, name, target.now),
            samples,
            lambda amounts: plan.utilization(amounts, wanted) / percent,
            lambda pod: wanted[pod] * max(100, percent) / 100,
        )
        amounts = _ready_amounts(target, samples, name)
        current = {"averageUtilization": plan.utilization(amounts, wanted), "averageValue": _mean(amounts)}
        return replicas, f"{what} utilization (percentage of request)", told, current

    async def _pods(self, metric: Obj, target: Target) -> tuple[int, str, Obj, Obj]:
        about, goal = metric["metric"], quantity.parse(metric["target"]["averageValue"])
        samples = await self._measurements.of_pods(target.namespace, target.selector, about)
        replicas, current = _by_average(target, samples, goal, "")
        return replicas, f"pods metric {about['name']}", {"metric": about}, current

    async def _object(self, metric: Obj, target: Target) -> tuple[int, str, Obj, Obj]:
        about, whom = metric["metric"], metric["describedObject"]
        kind = await self._find_kind(whom)
        value = await self._measurements.of_object(target.namespace, kind, whom["name"], about)
        replicas, current = _of_whole(target, value, metric["target"])
        told = {"metric": about, "describedObject": whom}
        return replicas, f"{whom['kind']} metric {about['name']}", told, current

    async def _external(self, metric: Obj, target: Target) -> tuple[int, str, Obj, Obj]:
        about = metric["metric"]
        value = await self._measurements.of_outside(target.namespace, about)
        replicas, current = _of_whole(target, value, metric["target"])
        return replicas, f"external metric {about['name']}", {"metric": about}, current


def _name(metric: Obj) -> str:
    if "metric" in metric:
        return f"metric {metric['metric']['name']}"
    kind = "utilization" if metric["target"].get("averageUtilization") is not None else "usage"
    return f"{metric['name']} {kind}"


def _by_average(
    target: Target, samples: Mapping[str, Sample], goal: Decimal, resource: str
) -> tuple[int, Obj]:
    replicas = plan.replicas(
        target.replicas,
        plan.census(target.pods, samples, resource, target.now),
        samples,
        lambda amounts: float(plan.average(amounts) / goal),
        lambda _: goal,
    )
    return replicas, {"averageValue": _mean(_ready_amounts(target, samples, resource))}


def _ready_amounts(target: Target, samples: Mapping[str, Sample], resource: str) -> Amounts:
    ready = plan.census(target.pods, samples, resource, target.now).ready
    return {name: samples[name].amount for name in ready}


def _of_whole(target: Target, value: Decimal, goal: Obj) -> tuple[int, Obj]:
    if goal.get("averageValue") is not None:
        shares = max(1, target.running)
        replicas = plan.by_share(target.running, value, quantity.parse(goal["averageValue"]))
        return replicas, {"averageValue": _milli(value / shares)}
    ready = sum(1 for pod in target.pods if pods.is_ready(pod))
    replicas = plan.by_value(target.replicas, ready, value, quantity.parse(goal["value"]))
    return replicas, {"value": _milli(value)}


def _mean(amounts: Amounts) -> str:
    return _milli(plan.average(amounts))


def _milli(amount: Decimal) -> str:
    return quantity.format(Decimal(math.ceil(amount * 1000)) / 1000)
