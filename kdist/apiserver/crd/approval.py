"""Groups of the Kubernetes project are for what it has approved: the annotation that says so, and its condition."""

from __future__ import annotations

from urllib.parse import urlsplit

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.validation import causes

ANNOTATION = "api-approved.kubernetes.io"
CONDITION = "KubernetesAPIApprovalPolicyConformant"
_POLICY = "https://github.com/kubernetes/enhancements/pull/1111"
_GROUPS = ("k8s.io", "kubernetes.io")
# status of the condition, its reason, its message
Verdict = tuple[str, str, str]


def is_protected(group: str) -> bool:
    """Whether a group belongs to the Kubernetes project."""
    return group in _GROUPS or group.endswith(tuple(f".{suffix}" for suffix in _GROUPS))


def verdict(crd: Obj) -> Verdict:
    """What the annotation of a definition in a protected group comes to."""
    value = meta.annotations(crd).get(ANNOTATION, "")
    if not value:
        told = f'protected groups must have approval annotation "{ANNOTATION}", see {_POLICY}'
        return "False", "MissingAnnotation", told
    if value.startswith("unapproved"):
        return "False", "UnapprovedAnnotation", f"not approved: {causes.shown(value)}"
    if _is_url(value):
        return "True", "ApprovedAnnotation", f"approved in {value}"
    told = "protected groups must have approval annotation with either a URL or a reason starting with "
    return "False", "InvalidAnnotation", f'{told}"unapproved", see {_POLICY}'


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc)


def check(new: Obj, old: Obj | None) -> list[Cause]:
    """A cause for a missing or senseless annotation, unless it was no better before."""
    if not is_protected(new["spec"].get("group") or ""):
        return []
    _, reason, told = verdict(new)
    if old is not None and verdict(old)[1] == reason:
        return []
    where = f"metadata.annotations[{ANNOTATION}]"
    if reason == "MissingAnnotation":
        return [causes.required(where, told)]
    if reason == "InvalidAnnotation":
        return [causes.invalid(where, meta.annotations(new)[ANNOTATION], told)]
    return []
