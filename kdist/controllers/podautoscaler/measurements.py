"""Measurements from the metrics APIs: of resources, of custom metrics, of things outside the cluster."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from urllib.parse import quote

from kdist.api import meta, quantity, selectors
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.client.rest import Client
from kdist.controllers.podautoscaler.plan import CannotTell, Sample

_RESOURCE = "/apis/metrics.k8s.io/v1beta1"
_CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2"
_EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_CUSTOM_WINDOW = timedelta(minutes=1)


class Measurements:
    """Asks the metrics APIs. Every method raises ApiError when they do not answer, CannotTell for no values."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def of_resource(
        self, namespace: str, selector: str, resource: str, container: str = ""
    ) -> dict[str, Sample]:
        """What each pod, or one container of each, uses."""
        answer = await self._client.request(
            "GET", f"{_RESOURCE}/namespaces/{namespace}/pods", params={"labelSelector": selector}
        )
        samples = {meta.name(i): _usage(i, resource, container) for i in answer.get("items") or ()}
        found = {name: sample for name, sample in samples.items() if sample is not None}
        if not found:
            raise CannotTell(f"no metrics returned from resource metrics API: {resource}")
        return found

    async def of_pods(self, namespace: str, selector: str, metric: Obj) -> dict[str, Sample]:
        """A custom metric of each pod."""
        path = f"{_CUSTOM}/namespaces/{namespace}/pods/*/{quote(metric['name'], safe='')}"
        answer = await self._client.request(
            "GET", path, params={"labelSelector": selector, "metricLabelSelector": _selector(metric)}
        )
        items = answer.get("items") or ()
        if not items:
            raise CannotTell(f"no metrics returned from custom metrics API: {metric['name']}")
        return {item["describedObject"]["name"]: _custom(item) for item in items}

    async def of_object(self, namespace: str, kind: Kind, name: str, metric: Obj) -> Decimal:
        """A custom metric of one object."""
        resource = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
        path = f"{_CUSTOM}/namespaces/{namespace}/{resource}/{name}/{quote(metric['name'], safe='')}"
        answer = await self._client.request("GET", path, params={"metricLabelSelector": _selector(metric)})
        items = answer.get("items") or ()
        if not items:
            raise CannotTell(f"no metrics returned from custom metrics API: {metric['name']}")
        return quantity.parse(items[0]["value"])

    async def of_outside(self, namespace: str, metric: Obj) -> Decimal:
        """The sum of an external metric."""
        path = f"{_EXTERNAL}/namespaces/{namespace}/{quote(metric['name'], safe='')}"
        answer = await self._client.request("GET", path, params={"labelSelector": _selector(metric)})
        items = answer.get("items") or ()
        if not items:
            raise CannotTell(f"no metrics returned from external metrics API: {metric['name']}")
        return sum((quantity.parse(item["value"]) for item in items), Decimal())


def _usage(item: Obj, resource: str, container: str) -> Sample | None:
    total = Decimal()
    counted = [c for c in item.get("containers") or () if not container or c["name"] == container]
    for one in counted:
        if resource not in (one.get("usage") or {}):
            return None
        total += quantity.parse(one["usage"][resource])
    if not counted:
        return None
    return Sample(total, meta.parse_time(item["timestamp"]), _duration(item.get("window") or "0s"))


def _custom(item: Obj) -> Sample:
    seconds = item.get("windowSeconds")
    window = timedelta(seconds=seconds) if seconds is not None else _CUSTOM_WINDOW
    return Sample(quantity.parse(item["value"]), meta.parse_time(item["timestamp"]), window)


def _selector(metric: Obj) -> str:
    chosen = metric.get("selector")
    return str(selectors.from_label_selector(chosen)) if chosen else ""


def _duration(text: str) -> timedelta:
    """A Go duration such as ``1m30.5s``."""
    seconds, number, unit = 0.0, "", ""
    for char in f"{text}0":
        if char.isdigit() or char == ".":
            if unit:
                seconds, number, unit = seconds + float(number) * _UNITS[unit], "", ""
            number += char
        else:
            unit += char
    return timedelta(seconds=seconds)
