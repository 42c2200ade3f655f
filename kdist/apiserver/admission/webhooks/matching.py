"""Which hooks a request concerns. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kdist.api import meta
from kdist.api.kinds import Kind
from kdist.apiserver.admission.base import Request
from kdist.apiserver.admission.webhooks.configuration import GROUP, Hook, Rule

# Hooks never see what configures hooks: a broken one could not be repaired any more.
_EXEMPT = frozenset(
    {
        (GROUP, plural)
        for plural in (
            "mutatingwebhookconfigurations",
            "validatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
        )
    }
)


def is_exempt(request: Request) -> bool:
    """Whether no hook may see the request."""
    return (request.resource.group, request.resource.plural) in _EXEMPT


def matched_kind(hook: Hook, request: Request, equivalents: Iterable[Kind]) -> Kind | None:
    """The coordinates under which the hook wants the request, or None.

    ``equivalents`` are the same resource in other groups and versions, for hooks that do not insist on the
    version that the client uses.
    """
    if any(rule_matches(rule, request, request.resource) for rule in hook.rules):
        return request.resource
    if hook.exact:
        return None
    for kind in equivalents:
        if any(rule_matches(rule, request, kind) for rule in hook.rules):
            return kind
    return None


def rule_matches(rule: Rule, request: Request, kind: Kind) -> bool:
    """Whether a rule concerns the request, taken as one for ``kind``."""
    return (
        _has(rule.operations, request.verb.upper())
        and _has(rule.groups, kind.group)
        and _has(rule.versions, kind.version)
        and _scope_matches(rule.scope, request)
        and any(_resource_matches(wanted, kind.plural, request.subresource) for wanted in rule.resources)
    )


def _has(values: tuple[str, ...], value: str) -> bool:
    return "*" in values or value in values


def _scope_matches(scope: str, request: Request) -> bool:
    return scope == "*" or (scope == "Namespaced") is request.resource.namespaced


def _resource_matches(wanted: str, plural: str, subresource: str) -> bool:
    resource, _, sub = wanted.partition("/")
    return resource in ("*", plural) and (sub == subresource or (sub == "*"))


def labels_match(hook: Hook, request: Request) -> bool:
    """Whether the object, as it is or as it was, is one that the hook selects."""
    if hook.objects.everything:
        return True
    return any(
        hook.objects.matches(meta.labels(obj))
        for obj in (request.obj, request.old)
        if obj is not None and "metadata" in obj
    )
