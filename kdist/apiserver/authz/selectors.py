"""The selectors of a list, watch or deletion as authorizers see them: what a request limits itself to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kdist.api.selectors import (
    FieldRequirement,
    Requirement,
    SelectorError,
    parse_field_selector,
    parse_label_selector,
)
from kdist.apiserver.ports import Obj

_LABEL_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


@dataclass(frozen=True, slots=True)
class Selectors:
    """Requirements that all hold. ``errors``: what could not be read, and so limits nothing."""

    fields: tuple[FieldRequirement, ...] = ()
    labels: tuple[Requirement, ...] = ()
    errors: tuple[str, ...] = ()

    def has_field(self, field: str, value: str) -> bool:
        """Whether the request is limited to objects with this value."""
        return any(r.field == field and r.value == value and not r.negated for r in self.fields)

    def as_api(self) -> Obj:
        """The attributes of a SubjectAccessReview."""
        found: Obj = {}
        if self.fields:
            found["fieldSelector"] = {
                "requirements": [
                    {"key": r.field, "operator": "NotIn" if r.negated else "In", "values": [r.value]}
                    for r in self.fields
                ]
            }
        labels = [_label_as_api(r) for r in self.labels if r.operator in _LABEL_OPERATORS]
        if labels:
            found["labelSelector"] = {"requirements": labels}
        return found


EVERYTHING = Selectors()


def _label_as_api(requirement: Requirement) -> Obj:
    shown: Obj = {"key": requirement.key, "operator": requirement.operator}
    return {**shown, "values": list(requirement.values)} if requirement.values else shown


def parse(fields: str, labels: str) -> Selectors:
    """The selectors of a query; what does not parse limits nothing."""
    errors = []
    on_fields: tuple[FieldRequirement, ...] = ()
    on_labels: tuple[Requirement, ...] = ()
    try:
        on_fields = parse_field_selector(fields).requirements if fields else ()
    except SelectorError as error:
        errors.append(f"spec.resourceAttributes.fieldSelector ignored due to parse error: {error}")
    try:
        on_labels = parse_label_selector(labels).requirements if labels else ()
    except SelectorError as error:
        errors.append(f"spec.resourceAttributes.labelSelector ignored due to parse error: {error}")
    return Selectors(on_fields, on_labels, tuple(errors))


def of_review(attributes: Obj) -> Selectors:
    """The selectors that a SubjectAccessReview asks about."""
    fields, labels = attributes.get("fieldSelector") or {}, attributes.get("labelSelector") or {}
    raw = parse(fields.get("rawSelector") or "", labels.get("rawSelector") or "")
    on_fields, field_errors = _field_requirements(fields.get("requirements") or ())
    on_labels, label_errors = _label_requirements(labels.get("requirements") or ())
    errors = (
        *raw.errors,
        *_told("fieldSelector", bool(on_fields), field_errors),
        *_told("labelSelector", bool(on_labels), label_errors),
    )
    return Selectors((*raw.fields, *on_fields), (*raw.labels, *on_labels), errors)


def _told(which: str, some: bool, errors: list[str]) -> tuple[str, ...]:
    if not errors:
        return ()
    how = "partially ignored" if some else "ignored"
    return (f"spec.resourceAttributes.{which} {how} due to parse error: {'; '.join(errors)}",)


def _field_requirements(given: Iterable[Obj]) -> tuple[list[FieldRequirement], list[str]]:
    found, errors = [], []
    for requirement in given:
        operator, values = requirement.get("operator"), requirement.get("values") or []
        if operator in ("In", "NotIn") and len(values) == 1:
            found.append(FieldRequirement(requirement.get("key", ""), values[0], operator == "NotIn"))
        elif len(values) > 1:
            errors.append("fieldSelectors do not yet support multiple values")
        elif operator in ("In", "NotIn"):
            errors.append(f"fieldSelectors {operator} must have one value")
        elif operator in ("Exists", "DoesNotExist"):
            errors.append(f"fieldSelectors do not yet support {operator}")
        else:
            errors.append(f'"{operator}" is not a valid field selector operator')
    return found, errors


def _label_requirements(given: Iterable[Obj]) -> tuple[list[Requirement], list[str]]:
    found, errors = [], []
    for requirement in given:
        key, operator = requirement.get("key", ""), requirement.get("operator", "")
        values = tuple(requirement.get("values") or ())
        if operator not in _LABEL_OPERATORS:
            errors.append(f'"{operator}" is not a valid label selector operator')
        elif operator in ("In", "NotIn") and not values:
            errors.append(
                f"values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty ({key})"
            )
        elif operator in ("Exists", "DoesNotExist") and values:
            errors.append(
                f"values: Invalid value: values set must be empty for exists and does not exist ({key})"
            )
        else:
            found.append(Requirement(key, operator, values))
    return found, errors
