"""What is wrong with a metav1.LabelSelector, or with one expression of any selector."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.metadata import validate_labels

LABEL_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def check_label_selector(selector: Obj | None, field: str) -> list[Cause]:
    """Causes for a metav1.LabelSelector."""
    if not selector:
        return []
    found = validate_labels(selector.get("matchLabels"), f"{field}.matchLabels")
    for at, expression in enumerate(selector.get("matchExpressions") or ()):
        where = f"{field}.matchExpressions[{at}]"
        found += check_expression(expression, where, LABEL_OPERATORS)
        for index, value in enumerate(expression.get("values") or ()):
            found += [causes.invalid(f"{where}.values[{index}]", value, c) for c in names.label_value(value)]
    return found


def check_expression(expression: Obj, field: str, operators: tuple[str, ...]) -> Iterator[Cause]:
    """Causes for one expression; node selectors know more operators than label selectors."""
    operator, values = expression.get("operator") or "", expression.get("values") or []
    if operator in ("In", "NotIn") and not values:
        yield causes.required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist") and values:
        told = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        yield causes.forbidden(f"{field}.values", told)
    elif operator in ("Gt", "Lt") and operator in operators and len(values) != 1:
        told = "must be specified single value when `operator` is 'Lt' or 'Gt'"
        yield causes.required(f"{field}.values", told)
    if operator not in operators:
        yield causes.invalid(f"{field}.operator", operator, "not a valid selector operator")
    key = expression.get("key") or ""
    yield from (causes.invalid(f"{field}.key", key, c) for c in names.qualified_name(key))
