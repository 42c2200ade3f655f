"""Which requests a FlowSchema is about. Pure; the same words as RBAC rules, with scopes made explicit."""

from __future__ import annotations

from collections.abc import Sequence

from kdist.api.meta import Obj
from kdist.apiserver.authn.user import SERVICE_ACCOUNT_PREFIX, User
from kdist.apiserver.requestinfo import RequestInfo

ALL = "*"


def matches(spec: Obj, user: User, info: RequestInfo) -> bool:
    """Whether one of the schema's rules covers the request."""
    return any(
        _concerns(rule, info)
        for rule in spec.get("rules") or ()
        if any(_is_subject(subject, user) for subject in rule.get("subjects") or ())
    )


def _is_subject(subject: Obj, user: User) -> bool:
    kind = subject.get("kind")
    if kind == "User":
        return (subject.get("user") or {}).get("name") in (ALL, user.name)
    if kind == "Group":
        wanted = (subject.get("group") or {}).get("name")
        return wanted == ALL or wanted in user.groups
    if kind == "ServiceAccount":
        account = subject.get("serviceAccount") or {}
        prefix = f"{SERVICE_ACCOUNT_PREFIX}{account.get('namespace', '')}:"
        name = account.get("name")
        return user.name.startswith(prefix) if name == ALL else user.name == f"{prefix}{name}"
    return False


def _concerns(rule: Obj, info: RequestInfo) -> bool:
    if info.is_resource:
        return any(_is_resource(r, info) for r in rule.get("resourceRules") or ())
    return any(_is_path(r, info) for r in rule.get("nonResourceRules") or ())


def _is_resource(rule: Obj, info: RequestInfo) -> bool:
    resource = f"{info.plural}/{info.subresource}" if info.subresource else info.plural
    if not (
        _lists(rule.get("verbs"), info.verb)
        and _lists(rule.get("resources"), resource)
        and _lists(rule.get("apiGroups"), info.group)
    ):
        return False
    if not info.namespace:
        return bool(rule.get("clusterScope"))
    return _lists(rule.get("namespaces"), info.namespace)


def _is_path(rule: Obj, info: RequestInfo) -> bool:
    return _lists(rule.get("verbs"), info.verb) and any(
        _covers(pattern, info.path) for pattern in rule.get("nonResourceURLs") or ()
    )


def _covers(pattern: str, path: str) -> bool:
    if pattern in (ALL, path):
        return True
    prefix = pattern.removesuffix("*")
    return path.startswith(prefix if prefix.endswith("/") else f"{prefix}/")


def _lists(values: Sequence[str] | None, value: str) -> bool:
    return values is not None and (value in values or list(values) == [ALL])
