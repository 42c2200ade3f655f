"""Which resources are counted in whole numbers, and what is wrong with an amount of one."""

from __future__ import annotations

from kdist.api import quantity
from kdist.api.errors import Cause
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import amount_not_negative

_COUNTED = {
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
}


QUOTA_RESOURCES = frozenset(
    {
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.storage",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        *_COUNTED,
    }
)
_OF_CONTAINERS = ("cpu", "memory", "ephemeral-storage")


def told_unquoted(field: str, name: str, detail: str) -> Cause:
    """Resource names are told without quotes."""
    return Cause(field, f"Invalid value: {name}: {detail}", "FieldValueInvalid")


def check_resource(name: str, field: str) -> list[Cause]:
    """Causes for the name of a resource, told at ``field``."""
    if wrong := [told_unquoted(field, name, complaint) for complaint in names.qualified_name(name)]:
        return wrong
    standard = name in QUOTA_RESOURCES or name == "storage" or name.startswith("hugepages-")
    if "/" not in name and not standard:
        return [told_unquoted(field, name, "must be a standard resource type or fully qualified")]
    return []


def check_container_resource(name: str, field: str) -> list[Cause]:
    """The same of a resource that containers ask for."""
    wrong = check_resource(name, field)
    if "/" not in name:
        if name not in _OF_CONTAINERS and not name.startswith("hugepages-"):
            wrong.append(told_unquoted(field, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        wrong.append(told_unquoted(field, name, "doesn't follow extended resource name standard"))
    return wrong


def is_native(resource: str) -> bool:
    """Whether the resource is Kubernetes' own: without a domain, or with its."""
    return "/" not in resource or "kubernetes.io/" in resource


def is_extended(resource: str) -> bool:
    """Whether somebody else's agent counts the resource."""
    if is_native(resource) or resource.startswith("requests."):
        return False
    return not names.qualified_name(f"requests.{resource}")


def is_counted(resource: str) -> bool:
    """Whether there are only whole ones of the resource."""
    return resource in _COUNTED or is_extended(resource)


def check_amount(resource: str, amount: str, field: str) -> list[Cause]:
    """Causes for an amount of a resource."""
    found = amount_not_negative(field, amount)
    if is_counted(resource) and quantity.milli(amount) % 1000:
        found.append(causes.invalid(field, amount, "must be an integer"))
    return found
