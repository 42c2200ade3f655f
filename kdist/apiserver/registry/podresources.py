"""What is wrong with the requests and limits of a container."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api import quantity
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.validation import causes, names

_RESIZED, _RESIZES = ("cpu", "memory"), ("NotRequired", "RestartContainer")
_STANDARD = {"cpu", "memory", "ephemeral-storage", "storage"}


def check_resources(resources: Obj, field: str) -> list[Cause]:
    """Requests and limits: known names, not negative, requests within limits."""
    found: list[Cause] = []
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for side, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            where = f"{field}.{side}"
            found += _resource_name(name, where)
            if quantity.parse(amount) < 0:
                found.append(causes.invalid(f"{where}[{name}]", amount, "must be greater than or equal to 0"))
    for name, amount in requests.items():
        limit = limits.get(name)
        if limit is not None and quantity.parse(amount) > quantity.parse(limit):
            told = f"must be less than or equal to {name} limit of {limit}"
            found.append(causes.invalid(f"{field}.requests", amount, told))
        elif _is_extended(name) and limit is None:
            told = "Limit must be set for non overcommitable resources"
            found.append(causes.required(f"{field}.limits", told))
        elif _is_extended(name) and limit != amount:
            told = f"must be equal to {name} limit of {limit}"
            found.append(causes.invalid(f"{field}.requests", amount, told))
    named = {*limits, *requests}
    if any(name.startswith("hugepages-") for name in named) and not named & {"cpu", "memory"}:
        found.append(causes.forbidden(field, "HugePages require cpu or memory"))
    return found


def check_policies(policies: list[Obj], field: str, *, restarts: bool) -> Iterator[Cause]:
    """Causes for how resizes of a container go; in a pod that never restarts none may take a restart."""
    seen: set[str] = set()
    for at, policy in enumerate(policies):
        name, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if name in seen:
            yield Cause(f"{field}[{at}]", f"Duplicate value: {name}", "FieldValueDuplicate")
        seen.add(name)
        if not name or not restart:
            yield causes.required(field)
        if name and name not in _RESIZED:
            supported = ", ".join(f'"{resource}"' for resource in _RESIZED)
            told = f"Unsupported value: {name}: supported values: {supported}"  # without quotes, as all such
            yield Cause(field, told, "FieldValueNotSupported")
        if restart and restart not in _RESIZES:
            yield causes.not_supported(field, restart, _RESIZES)
        if not restarts and restart != "NotRequired":
            yield causes.invalid(field, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def _is_extended(name: str) -> bool:
    """Whether a resource cannot be promised twice: all but the standard ones."""
    return "/" in name or name.startswith("hugepages-")


def _resource_name(name: str, field: str) -> list[Cause]:
    found = [_unquoted(f"{field}[{name}]", name, c) for c in names.qualified_name(name)]
    if not found and "/" not in name and name not in _STANDARD and not name.startswith("hugepages-"):
        told = "must be a standard resource type or fully qualified"
        return [
            _unquoted(f"{field}[{name}]", name, told),
            _unquoted(f"{field}[{name}]", name, "must be a standard resource for containers"),
        ]
    return found


def _unquoted(field: str, name: str, detail: str) -> Cause:
    """Resource names are told without quotes."""
    return Cause(field, f"Invalid value: {name}: {detail}")
