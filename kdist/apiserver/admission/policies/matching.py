"""Which requests a policy or a binding concerns. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kdist.api import meta, selectors
from kdist.api.kinds import Kind
from kdist.api.selectors import LabelSelector
from kdist.apiserver.admission.base import Request
from kdist.apiserver.admission.webhooks.configuration import Rule, parse_rule
from kdist.apiserver.admission.webhooks.matching import rule_matches
from kdist.apiserver.ports import Obj


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A rule for objects of some names; of any when there are none."""

    rule: Rule
    names: frozenset[str]

    def matches(self, request: Request, kind: Kind) -> bool:
        """Whether the rule concerns the request, taken as one for ``kind``."""
        return rule_matches(self.rule, request, kind) and (not self.names or request.name in self.names)


@dataclass(frozen=True, slots=True)
class MatchResources:
    """The matchConstraints of a policy, or the matchResources of a binding."""

    rules: tuple[NamedRule, ...] = ()
    excluded: tuple[NamedRule, ...] = ()
    exact: bool = True
    namespaces: LabelSelector = selectors.EVERYTHING
    objects: LabelSelector = selectors.EVERYTHING

    def matched_kind(self, request: Request, equivalents: Iterable[Kind]) -> Kind | None:
        """The coordinates under which the request is concerned, by its resource and name; None if it is not.

        ``equivalents`` are the same resource in other groups and versions.
        """
        others = () if self.exact else tuple(equivalents)
        if _first(self.excluded, request, others) is not None:
            return None
        return _first(self.rules, request, others) if self.rules else request.resource

    def selects_object(self, request: Request) -> bool:
        """Whether the object, as it is or as it was, is one of those."""
        return self.objects.everything or any(
            self.objects.matches(meta.labels(obj))
            for obj in (request.obj, request.old)
            if obj is not None and "metadata" in obj
        )


EVERYTHING = MatchResources()


def _first(rules: tuple[NamedRule, ...], request: Request, others: tuple[Kind, ...]) -> Kind | None:
    """The request's own coordinates if a rule has them, else the first others that one has."""
    if any(rule.matches(request, request.resource) for rule in rules):
        return request.resource
    return next((kind for rule in rules for kind in others if rule.matches(request, kind)), None)


def parse(resources: Obj | None) -> MatchResources:
    """From a v1 MatchResources."""
    if not resources:
        return EVERYTHING
    return MatchResources(
        rules=_rules(resources.get("resourceRules")),
        excluded=_rules(resources.get("excludeResourceRules")),
        exact=resources.get("matchPolicy") == "Exact",
        namespaces=selectors.from_label_selector(resources.get("namespaceSelector") or {}),
        objects=selectors.from_label_selector(resources.get("objectSelector") or {}),
    )


def _rules(rules: list[Obj] | None) -> tuple[NamedRule, ...]:
    return tuple(
        NamedRule(parse_rule(rule), frozenset(rule.get("resourceNames") or ())) for rule in rules or ()
    )
