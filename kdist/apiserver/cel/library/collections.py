"""Functions on lists, maps and sets."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from kdist.apiserver.cel.access import contains
from kdist.apiserver.cel.errors import EvaluationError, no_such_overload
from kdist.apiserver.cel.library.arithmetic import add
from kdist.apiserver.cel.values import Lazy, compare, equal


def length(value: Any) -> int:
    """``size``."""
    if isinstance(value, str | bytes | list | dict | Lazy):
        return len(value)
    raise no_such_overload()


def _list(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    raise no_such_overload()


def is_sorted(values: Any) -> bool:
    """Whether no element is greater than the next."""
    elements = _list(values)
    return all(compare(one, other) <= 0 for one, other in pairwise(elements))


def total(values: Any) -> Any:
    """``sum``; nothing sums up to the integer zero."""
    elements = _list(values)
    if not elements:
        return 0
    made = elements[0]
    for element in elements[1:]:
        made = add(made, element)
    return made


def _extreme(name: str, sign: int) -> Callable[[Any], Any]:
    def evaluate(values: Any) -> Any:
        elements = _list(values)
        if not elements:
            raise EvaluationError(f"{name} called on empty list")
        best = elements[0]
        for element in elements[1:]:
            if compare(element, best) == sign:
                best = element
        return best

    return evaluate


def map_insert(so_far: Any, key_or_entries: Any, value: Any = None) -> Any:
    """One more entry in the map that a macro makes; ``transformMapEntry`` gives a map of one."""
    entries = key_or_entries.items() if isinstance(key_or_entries, dict) else [(key_or_entries, value)]
    for key, made in entries:
        if key in so_far:
            raise EvaluationError(f"insert failed: key {key} already exists")
        so_far[key] = made
    return so_far


def sets_contain(one: Any, other: Any) -> bool:
    """Whether all elements of the second list are in the first."""
    return all(contains(element, _list(one)) for element in _list(other))


def sets_equivalent(one: Any, other: Any) -> bool:
    """Whether both lists have the same elements."""
    return sets_contain(one, other) and sets_contain(other, one)


def sets_intersect(one: Any, other: Any) -> bool:
    """Whether the lists have an element in common."""
    return any(contains(element, _list(other)) for element in _list(one))


def index_in_list(values: Any, wanted: Any) -> int:
    """The first place of an element, or -1."""
    return next((at for at, value in enumerate(_list(values)) if equal(value, wanted)), -1)


def last_index_in_list(values: Any, wanted: Any) -> int:
    """The last place of an element, or -1."""
    elements = _list(values)
    return next((at for at in range(len(elements) - 1, -1, -1) if equal(elements[at], wanted)), -1)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "size": length,
    "@in": contains,
    "isSorted": is_sorted,
    "sum": total,
    "min": _extreme("min", -1),
    "max": _extreme("max", 1),
    "cel.@mapInsert": map_insert,
    "sets.contains": sets_contain,
    "sets.equivalent": sets_equivalent,
    "sets.intersects": sets_intersect,
}
