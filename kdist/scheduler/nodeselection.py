"""Node selectors over all nodes at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from kdist.api.meta import Obj
from kdist.scheduler.nodetable import NAME_FIELD, Bools, Ids, NodeTable


def required_rows(table: NodeTable, spec: Obj) -> Bools:
    """The rows that spec.nodeSelector and the required node affinity allow."""
    rows = table.valid.copy()
    for key, value in (spec.get("nodeSelector") or {}).items():
        rows &= table.label(key) == table.value_id(value)
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is not None:
        rows &= any_term(table, required.get("nodeSelectorTerms") or ())
    return rows


def any_term(table: NodeTable, terms: Iterable[Obj]) -> Bools:
    """The rows that any NodeSelectorTerm selects."""
    rows = np.zeros(len(table), bool)
    for term in terms:
        rows |= one_term(table, term)
    return rows


def one_term(table: NodeTable, term: Obj) -> Bools:
    """The rows that satisfy every condition of a term; a term without conditions selects none."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return np.zeros(len(table), bool)
    rows = np.ones(len(table), bool)
    for expression in expressions:
        rows &= _condition(table, table.label(expression["key"]), expression)
    for expression in fields:
        rows &= _condition(table, table.label(NAME_FIELD), expression)
    return rows


def _condition(table: NodeTable, column: Ids, expression: Obj) -> Bools:
    values: Sequence[str] = expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return _in(table, column, values)
        case "NotIn":
            return ~_in(table, column, values)
        case "Exists":
            return np.not_equal(column, 0)
        case "DoesNotExist":
            return np.equal(column, 0)
    return _compare(table, column, expression["operator"], values)


def _in(table: NodeTable, column: Ids, values: Sequence[str]) -> Bools:
    numbers = [number for number in map(table.value_id, values) if number > 0]
    return column == numbers[0] if len(numbers) == 1 else np.isin(column, numbers)


def _compare(table: NodeTable, column: Ids, operator: str, values: Sequence[str]) -> Bools:
    """Gt and Lt compare integers; labels that are none never match."""
    good = []
    for number in np.unique(column):
        try:
            label, bound = int(table.value(int(number))), int(values[0])
        except (ValueError, IndexError):
            continue
        if label > bound if operator == "Gt" else label < bound:
            good.append(number)
    return np.isin(column, good)
