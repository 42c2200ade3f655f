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
