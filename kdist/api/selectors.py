"""Label, field and node selectors: parsed once, matched often.

A selector is a frozen tuple of requirements which must all hold. Text that does not parse raises
SelectorError; its words are meant for the user.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_KEY = re.compile(r"([a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_SET = re.compile(r"(\S+)\s+(in|notin)\s*\(([^()]*)\)")
_COMPARE = re.compile(r"([^=!<>\s]+)\s*(==|=|!=|>|<)\s*([^=!<>]*)")


class SelectorError(ValueError):
    """The selector does not parse."""


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
            case "In" | "NotIn" if len(self.values) == 1:
                return f"{self.key}{'=' if self.operator == 'In' else '!='}{self.values[0]}"
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


def _split_outside_parentheses(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _label_requirement(text: str) -> Requirement:
    if match := _SET.fullmatch(text):
        key, operator, values = match.groups()
        return Requirement(
            key, {"in": "In", "notin": "NotIn"}[operator], tuple(v.strip() for v in values.split(","))
        )
    if match := _COMPARE.fullmatch(text):
        key, sign, value = match.groups()
        operator = {"=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt"}[sign]
        return Requirement(key, operator, (value.strip(),))
    if text.startswith("!"):
        return Requirement(text[1:].strip(), "DoesNotExist")
    return Requirement(text, "Exists")


def _checked(requirement: Requirement, text: str) -> Requirement:
    if not _KEY.fullmatch(requirement.key) or len(requirement.key.rpartition("/")[2]) > 63:
        raise SelectorError(f'unable to parse requirement: invalid label key "{requirement.key}" in "{text}"')
    if requirement.operator in ("Gt", "Lt") and not re.fullmatch(r"[+-]?\d+", requirement.values[0]):
        raise SelectorError(
            f"unable to parse requirement: values[0][{requirement.key}]: Invalid value: "
            f"\"{requirement.values[0]}\": for 'Gt', 'Lt' operators, the value must be an integer"
        )
    for value in requirement.values:
        if len(value) > 63 or not _VALUE.fullmatch(value):
            raise SelectorError(
                f'unable to parse requirement: values[0][{requirement.key}]: Invalid value: "{value}"'
            )
    return requirement


def parse_label_selector(text: str) -> LabelSelector:
    """The selector of a ``labelSelector`` query parameter. Raises SelectorError."""
    if not text.strip():
        return EVERYTHING
    parts = (part.strip() for part in _split_outside_parentheses(text))
    return LabelSelector(tuple(_checked(_label_requirement(part), text) for part in parts))


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
    """The selector of a ``fieldSelector`` query parameter; backslash escapes ``,``, ``=`` and itself."""
    parts = (part for part in re.split(r"(?<!\\),", text) if part.strip())
    return FieldSelector(tuple(_field_requirement(part) for part in parts))


def _field_requirement(part: str) -> FieldRequirement:
    match = re.fullmatch(r"([^=!]+)(==|!=|=)((?:[^\\]|\\[\\,=])*)", part)
    if match is None:
        raise SelectorError(f"invalid selector: '{part}'; can't understand '{part}'")
    field, sign, value = match.groups()
    return FieldRequirement(field.strip(), re.sub(r"\\([\\,=])", r"\1", value), sign == "!=")


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
