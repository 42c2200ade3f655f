"""Label, field and node selectors: parsed once, matched often.

A selector is a frozen tuple of requirements which must all hold. Text that does not parse raises
SelectorError; its words are meant for the user.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import starmap
from typing import Any

from kdist.api.selectorgrammar import (
    LabelParser,
    Rule,
    SelectorError,
    field_requirements,
    key_rule,
    value_rule,
)

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "FieldRequirement",
    "FieldSelector",
    "LabelSelector",
    "Requirement",
    "SelectorError",
    "from_label_selector",
    "from_labels",
    "match_node_selector_terms",
    "parse_field_selector",
    "parse_label_selector",
]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one key. ``operator`` is In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels satisfy the condition; NotIn and DoesNotExist hold for a missing key."""
        have = labels.get(self.key)
        match self.operator:
            case "In":
                return have in self.values
            case "NotIn":
                return have not in self.values
            case "Exists":
                return have is not None
            case "DoesNotExist":
                return have is None
        return have is not None and self._compares(have)

    def _compares(self, have: str) -> bool:
        try:
            left, right = int(have), int(self.values[0])
        except (ValueError, IndexError):
            return False
        return left > right if self.operator == "Gt" else left < right

    def __str__(self) -> str:
        match self.operator:
            case "In" if len(self.values) == 1:
                return f"{self.key}={self.values[0]}"
            case "In" | "NotIn":
                return f"{self.key} {self.operator.lower()} ({','.join(sorted(self.values))})"
            case "Exists":
                return self.key
            case "DoesNotExist":
                return f"!{self.key}"
        return f"{self.key}{'>' if self.operator == 'Gt' else '<'}{self.values[0]}"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; without any it matches everything, with ``nothing`` it matches nothing."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether an object with these labels is selected."""
        if self.nothing:
            return False
        have = labels or {}
        return all(r.matches(have) for r in self.requirements)

    @property
    def everything(self) -> bool:
        """Whether no object can be refused."""
        return not self.nothing and not self.requirements

    def __str__(self) -> str:
        """The query-parameter form, requirements in the order of their keys."""
        return ",".join(str(r) for r in sorted(self.requirements, key=lambda r: r.key))


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(nothing=True)


def parse_label_selector(text: str, key: Rule = key_rule, value: Rule = value_rule) -> LabelSelector:
    """The selector of a ``labelSelector`` query parameter. Raises SelectorError.

    ``key`` and ``value`` say what is wrong with a key or value, for those who tell users.
    """
    if not text:
        return EVERYTHING
    return LabelSelector(tuple(starmap(Requirement, LabelParser(text, key, value).requirements())))


def from_label_selector(selector: Mapping[str, Any] | None) -> LabelSelector:
    """The selector of a metav1.LabelSelector: None selects nothing, an empty one everything."""
    if selector is None:
        return NOTHING
    by_label = [Requirement(k, "In", (v,)) for k, v in (selector.get("matchLabels") or {}).items()]
    expressions = [
        Requirement(e["key"], e["operator"], tuple(e.get("values") or ()))
        for e in selector.get("matchExpressions") or ()
    ]
    return LabelSelector((*by_label, *expressions))


def from_labels(labels: Mapping[str, str] | None) -> LabelSelector:
    """The selector of a plain label map, as in Services: None or empty selects nothing."""
    return from_label_selector({"matchLabels": labels}) if labels else NOTHING


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """``field = value``, or with ``negated`` ``field != value``."""

    field: str
    value: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All requirements must hold. A field that the object does not have counts as empty."""

    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether an object with these selectable fields is selected."""
        return all((fields.get(r.field, "") == r.value) is not r.negated for r in self.requirements)

    def exact(self, field: str) -> str | None:
        """The value that the field must have, when one is required: lets the caller use an index."""
        return next((r.value for r in self.requirements if r.field == field and not r.negated), None)


def parse_field_selector(text: str) -> FieldSelector:
    """The selector of a ``fieldSelector`` query parameter. Raises SelectorError."""
    return (
        FieldSelector(tuple(starmap(FieldRequirement, field_requirements(text)))) if text else FieldSelector()
    )


def match_node_selector_terms(terms: Iterable[Mapping[str, Any]], node: Mapping[str, Any]) -> bool:
    """Whether any v1.NodeSelectorTerm selects the node; a term without conditions selects none."""
    metadata = node.get("metadata") or {}
    labels, fields = metadata.get("labels") or {}, {"metadata.name": metadata.get("name", "")}
    return any(_term_matches(term, labels, fields) for term in terms)


def _term_matches(term: Mapping[str, Any], labels: Mapping[str, str], fields: Mapping[str, str]) -> bool:
    expressions, on_fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not on_fields:
        return False
    return all(_node_requirement(e).matches(labels) for e in expressions) and all(
        _node_requirement(e).matches(fields) for e in on_fields
    )


def _node_requirement(expression: Mapping[str, Any]) -> Requirement:
    return Requirement(expression["key"], expression["operator"], tuple(expression.get("values") or ()))
