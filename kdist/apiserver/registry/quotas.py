"""ResourceQuotas and LimitRanges: which resources and scopes they know, and that their amounts are in order."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from kdist.api import meta, quantity
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.resourceamounts import (
    QUOTA_RESOURCES,
    check_amount,
    check_container_resource,
    check_resource,
    told_unquoted,
)
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import ruled

_POD_RESOURCES = {"cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory", "pods"}
# The scopes with the resources that they can narrow.
_SCOPES = {
    "BestEffort": {"pods"},
    "NotBestEffort": _POD_RESOURCES,
    "Terminating": _POD_RESOURCES,
    "NotTerminating": _POD_RESOURCES,
    "PriorityClass": _POD_RESOURCES,
    "CrossNamespacePodAffinity": _POD_RESOURCES,
}
_CLASHING = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_LIMIT_TYPES = ("Container", "PersistentVolumeClaim", "Pod")
_ONLY_EXISTS = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


class ResourceQuotaStrategy(Strategy):
    """ResourceQuotas."""

    checks_required = False

    def check(self, obj: Obj) -> list[Cause]:
        """Known resources, amounts that are not negative, scopes that fit."""
        spec = obj.get("spec") or {}
        found = list(_amounts(spec.get("hard") or {}, "spec.hard"))
        scopes = spec.get("scopes") or []
        found += _scopes(scopes, scopes, spec, "spec.scopes")
        if (selector := spec.get("scopeSelector")) is not None:
            found += _selector(selector, spec)
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Scopes cannot change."""
        now, had = (meta.get(o, "spec.scopes") or [] for o in (new, old))
        return causes.immutable("spec.scopes", sorted(now), sorted(had))

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The same of what is used."""
        found, status = super().validate_status_update(new, old), new.get("status") or {}
        for field in ("hard", "used"):
            found += _amounts(status.get(field) or {}, f"status.{field}")
        return found


def _amounts(amounts: dict[str, str], where: str) -> Iterator[Cause]:
    for name, amount in amounts.items():
        field = f"{where}[{name}]"
        wrong = check_resource(name, field)
        yield from wrong
        if "/" not in name and name not in QUOTA_RESOURCES:
            yield told_unquoted(field, name, "must be a standard resource for quota")
        yield from check_amount(name, amount, field)


def _scopes(scopes: list[str], told: object, spec: Obj, field: str) -> Iterator[Cause]:
    hard = (spec.get("hard") or {}).keys() & QUOTA_RESOURCES
    for scope in scopes:
        if scope not in _SCOPES and field == "spec.scopes":
            yield causes.invalid(field, told, "unsupported scope")
        if hard - _SCOPES.get(scope, hard):
            yield causes.invalid(field, told, "unsupported scope applied to resource")
    if any(pair <= set(scopes) for pair in _CLASHING):
        yield causes.invalid(field, spec.get("scopes") or [], "conflicting scopes")


def _selector(selector: Obj, spec: Obj) -> Iterator[Cause]:
    where = "spec.scopeSelector.matchExpressions"
    expressions = selector.get("matchExpressions") or []
    for expression in expressions:
        scope, operator = expression.get("scopeName") or "", expression.get("operator") or ""
        values = expression.get("values") or []
        if scope not in _SCOPES:
            yield causes.invalid(f"{where}.scopeName", scope, "unsupported scope")
        elif scope != "PriorityClass" and operator != "Exists":
            yield causes.invalid(f"{where}.operator", operator, _ONLY_EXISTS)
        if operator in ("In", "NotIn"):
            if not values:
                told = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                yield causes.required(f"{where}.values", told)
        elif operator not in ("Exists", "DoesNotExist"):
            yield causes.invalid(f"{where}.operator", operator, "not a valid selector operator")
        elif values:
            told = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            yield causes.invalid(f"{where}.values", values, told)
    yield from _scopes([e.get("scopeName") or "" for e in expressions], selector, spec, where)


class LimitRangeStrategy(Strategy):
    """LimitRanges."""

    allow_create_on_update = True
    checks_required = False

    def default(self, obj: Obj) -> None:
        """A container's default limit is its maximum, its default request the default limit or the minimum."""
        for item in meta.get(obj, "spec.limits", []):
            if item.get("type") != "Container":
                continue
            default = {**(item.get("max") or {}), **(item.get("default") or {})}
            request = {**(item.get("min") or {}), **default, **(item.get("defaultRequest") or {})}
            for field, amounts in (("default", default), ("defaultRequest", request)):
                if amounts:
                    item[field] = amounts

    def prepare_create(self, obj: Obj) -> None:
        """Who gives no name gets one."""
        super().prepare_create(obj)
        if not meta.name(obj):
            obj["metadata"]["name"] = str(uuid.uuid4())

    def check(self, obj: Obj) -> list[Cause]:
        """Minimum, defaults and maximum are in order; a type is limited once."""
        found: list[Cause] = []
        seen: set[str] = set()
        for at, item in enumerate(meta.get(obj, "spec.limits", [])):
            where, kind = f"spec.limits[{at}]", item.get("type") or ""
            found += _limit_type(kind, f"{where}.type")
            if kind in seen:
                found.append(causes.duplicate(f"{where}.type", kind))
            seen.add(kind)
            found += _limit(item, kind, where)
        return found


def _limit_type(kind: str, field: str) -> list[Cause]:
    if wrong := ruled(field, kind, names.qualified_name):
        return wrong
    if "/" not in kind and kind not in _LIMIT_TYPES:
        return [causes.invalid(field, kind, "must be a standard limit type or fully qualified")]
    return []


def _limit(item: Obj, kind: str, where: str) -> Iterator[Cause]:
    of_containers = kind in ("Pod", "Container")
    judge = check_container_resource if of_containers else check_resource
    fields = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"]
    if kind == "Pod":
        for field in ("default", "defaultRequest"):
            fields.remove(field)
            if item.get(field):
                yield causes.forbidden(f"{where}.{field}", "may not be specified when `type` is 'Pod'")
    for field in fields:
        for resource in item.get(field) or ():
            yield from judge(resource, f"{where}.{field}[{resource}]")
    if kind == "PersistentVolumeClaim" and not any("storage" in (item.get(f) or {}) for f in ("min", "max")):
        told = "either minimum or maximum storage value is required, but neither was provided"
        yield causes.required(f"{where}.limits", told)
    resources = {resource for field in fields for resource in item.get(field) or ()}
    for resource in sorted(resources):
        amounts = {field: (item.get(field) or {}).get(resource) for field in fields}
        yield from _order(amounts, resource, where)
        yield from _ratio(amounts, f"{where}.maxLimitRequestRatio[{resource}]")


# The lower and the higher amount with their names, where a wrong order is told, and whose amount.
_ORDERS = (
    ("min", "max", "min", "min", "min", "max"),
    ("min", "defaultRequest", "min", "default request", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "max", "default request", "max", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "default", "default request", "default limit", "defaultRequest", "defaultRequest"),
    ("min", "default", "min", "default", "default", "min"),
    ("default", "max", "default", "max", "default", "max"),
)


def _order(amounts: dict[str, str | None], resource: str, where: str) -> Iterator[Cause]:
    for low, high, low_name, high_name, field, shown in _ORDERS:
        lower, upper = amounts.get(low), amounts.get(high)
        if lower is None or upper is None or quantity.parse(lower) <= quantity.parse(upper):
            continue
        high_name = "max" if high == "max" else high_name
        told = f"{low_name} value {lower} is greater than {high_name} value {upper}"
        yield causes.invalid(f"{where}.{field}[{resource}]", amounts[shown], told)


def _ratio(amounts: dict[str, str | None], field: str) -> Iterator[Cause]:
    ratio, low, high = amounts.get("maxLimitRequestRatio"), amounts.get("min"), amounts.get("max")
    if ratio is None:
        return
    if quantity.parse(ratio) < 1:
        yield causes.invalid(field, ratio, f"ratio {ratio} is less than 1")
    if low is None or high is None or not quantity.parse(low):
        return
    limit = quantity.parse(high) / quantity.parse(low)
    if quantity.parse(ratio) > limit:
        yield causes.invalid(field, ratio, f"ratio {ratio} is greater than max/min = {float(limit):f}")
