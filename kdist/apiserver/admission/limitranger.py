"""LimitRanges: defaults for what containers leave open, bounds for what pods and claims ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from kdist.api import meta, quantity
from kdist.api.kinds import Kind
from kdist.apiserver.admission.base import Plugin, Request
from kdist.apiserver.ports import Obj, Reader

LIMIT_RANGES = Kind("", "v1", "limitranges", "LimitRange")
ANNOTATION = "kubernetes.io/limit-ranger"
Amounts = dict[str, Decimal]
_PODS, _RESIZES, _CLAIMS = ("", "pods"), ("", "pods/resize"), ("", "persistentvolumeclaims")


class LimitRanger(Plugin):
    """Applies every LimitRange of the namespace to new pods, to those that are resized, and to claims."""

    targets = frozenset({_PODS, _RESIZES, _CLAIMS})

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def admit(self, request: Request) -> None:
        """Give containers the defaults they lack."""
        if request.target != _RESIZES and (request.target != _PODS or request.verb != "create"):
            return
        for limit_range in self._ranges(request):
            for item in _items(limit_range, "Container"):
                _default(request.body, item)

    async def validate(self, request: Request) -> None:
        """Forbidden with every bound that is broken."""
        if request.target == _PODS and request.verb != "create":
            return
        check = _check_claim if request.target == _CLAIMS else _check_pod
        broken = [why for limit_range in self._ranges(request) for why in check(request.body, limit_range)]
        if broken:
            raise request.forbidden(broken[0] if len(broken) == 1 else f"[{', '.join(broken)}]")

    def _ranges(self, request: Request) -> list[Obj]:
        return self._reader.list(LIMIT_RANGES, request.namespace)


def _items(limit_range: Obj, type: str) -> Iterator[Obj]:
    for item in meta.get(limit_range, "spec.limits", ()):
        if item.get("type") == type:
            yield item


def _default(pod: Obj, item: Obj) -> None:
    notes = []
    for field, what in (("initContainers", "init container"), ("containers", "container")):
        for container in pod["spec"].get(field) or ():
            resources = container.get("resources") or {}
            # Requests first: a limit that the user wrote is the request's default already.
            requests = _fill(resources, "requests", item.get("defaultRequest"))
            limits = _fill(resources, "limits", item.get("default"))
            container["resources"] = resources
            name = container.get("name", "")
            notes += [f"{', '.join(requests)} request for {what} {name}"] if requests else []
            notes += [f"{', '.join(limits)} limit for {what} {name}"] if limits else []
    if notes:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[ANNOTATION] = "LimitRanger plugin set: " + "; ".join(notes)


def _fill(resources: Obj, side: str, defaults: Obj | None) -> list[str]:
    present = resources.get(side) or {}
    added = {r: text for r, text in (defaults or {}).items() if r not in present}
    if added:
        resources[side] = {**present, **added}
    return sorted(added)


def _amounts(texts: Obj | None) -> Amounts:
    return {resource: quantity.parse(text) for resource, text in (texts or {}).items()}


def _check_claim(claim: Obj, limit_range: Obj) -> Iterator[str]:
    requests = _amounts(meta.get(claim, "spec.resources.requests"))
    for item in _items(limit_range, "PersistentVolumeClaim"):
        yield from _minimum(item, requests, None)
        yield from _maximum(item, requests, requests, claim=True)


def _check_pod(pod: Obj, limit_range: Obj) -> Iterator[str]:
    containers = [*(pod["spec"].get("initContainers") or ()), *(pod["spec"].get("containers") or ())]
    for item in _items(limit_range, "Container"):
        for container in containers:
            resources = container.get("resources") or {}
            yield from _bounds(item, _amounts(resources.get("requests")), _amounts(resources.get("limits")))
    for item in _items(limit_range, "Pod"):
        yield from _bounds(item, _sum(pod, "requests"), _sum(pod, "limits"))


def _bounds(item: Obj, requests: Amounts, limits: Amounts) -> Iterator[str]:
    yield from _minimum(item, requests, limits)
    yield from _maximum(item, requests, limits)
    yield from _ratio(item, requests, limits)


def _sum(pod: Obj, side: str) -> Amounts:
    """What the pod asks for as a whole: its containers together, or the largest init container."""

    def of(container: Obj) -> Amounts:
        return _amounts((container.get("resources") or {}).get(side))

    total: Amounts = {}
    for container in pod["spec"].get("containers") or ():
        total = _merge(total, of(container), lambda a, b: a + b)
    for container in pod["spec"].get("initContainers") or ():
        total = _merge(total, of(container), max)
    return total


def _merge(left: Amounts, right: Amounts, how: Callable[[Decimal, Decimal], Decimal]) -> Amounts:
    zero = Decimal(0)
    return {r: how(left.get(r, zero), right.get(r, zero)) for r in {**left, **right}}


def _minimum(item: Obj, requests: Amounts, limits: Amounts | None) -> Iterator[str]:
    for resource, text in (item.get("min") or {}).items():
        bound = f"minimum {resource} usage per {item['type']} is {text}"
        if resource not in requests:
            yield f"{bound}.  No request is specified"
        elif requests[resource] < quantity.parse(text):
            yield f"{bound}, but request is {quantity.format(requests[resource], _style(text))}"
        elif limits is not None and limits.get(resource, requests[resource]) < quantity.parse(text):
            yield f"{bound}, but limit is {quantity.format(limits[resource], _style(text))}"


def _maximum(item: Obj, requests: Amounts, limits: Amounts, *, claim: bool = False) -> Iterator[str]:
    for resource, text in (item.get("max") or {}).items():
        bound = f"maximum {resource} usage per {item['type']} is {text}"
        most = quantity.parse(text)
        if resource not in limits and not claim:
            yield f"{bound}.  No limit is specified"
        elif limits.get(resource, Decimal(0)) > most:
            what = "request" if claim else "limit"
            yield f"{bound}, but {what} is {quantity.format(limits[resource], _style(text))}"
        elif requests.get(resource, Decimal(0)) > most:
            yield f"{bound}, but request is {quantity.format(requests[resource], _style(text))}"


def _ratio(item: Obj, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for resource, text in (item.get("maxLimitRequestRatio") or {}).items():
        bound = f"{resource} max limit to request ratio per {item['type']} is {text}"
        request, limit = requests.get(resource), limits.get(resource)
        if not request or not limit:
            yield (
                f"{bound}, but no request is specified or request is 0"
                if not request
                else (f"{bound}, but no limit is specified or limit is 0")
            )
        elif limit / request > quantity.parse(text):
            yield f"{bound}, but provided ratio is {limit / request:.6f}"


def _style(text: str) -> quantity.Style:
    return "BinarySI" if str(text).endswith("i") else "DecimalSI"
