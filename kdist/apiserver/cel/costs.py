"""What calls cost at run time, as upstream counts: one unit is about the price of a look-up.

Functions that walk through text or lists cost by its size; everything else costs one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kdist.apiserver.cel.values import size

CostOf = Callable[[tuple[Any, ...], Any], int]
STRING_FACTOR, REGEX_FACTOR = 0.1, 0.25
CHECK = 350_000  # two authorization checks in an expression, not more
LIST, MAP, STRUCT = 10, 30, 40


def walked(elements: int, factor: float = STRING_FACTOR) -> int:
    """The cost of going through that many code points."""
    return math.ceil(elements * factor)


def traversal(value: Any) -> int:
    """The cost of going through a value as a tree."""
    if isinstance(value, str | bytes):
        return int(len(value.encode() if isinstance(value, str) else value) * STRING_FACTOR)
    if isinstance(value, list):
        return sum(map(traversal, value))
    if isinstance(value, dict):
        return sum(traversal(key) + traversal(part) for key, part in value.items())
    return 1


def _first(factor: float) -> CostOf:
    return lambda args, _: walked(size(args[0]), factor)


def _regex(args: tuple[Any, ...], _: Any) -> int:
    return walked(1 + size(args[0])) * walked(size(args[1]), REGEX_FACTOR)


def _validate(args: tuple[Any, ...], _: Any) -> int:
    return walked(1 + size(args[1])) * walked(args[0].regex_size, REGEX_FACTOR)


def _contains(args: tuple[Any, ...], _: Any) -> int:
    return walked(size(args[0])) * walked(size(args[1]))


def _selector(args: tuple[Any, ...], _: Any) -> int:
    length = size(args[1])
    return LIST + walked(length) + math.ceil(math.ceil(length * 0.5) * (LIST + STRUCT))


def _ip(args: tuple[Any, ...], _: Any) -> int:
    return walked(size(args[0])) if isinstance(args[0], str) else 1


def _contains_ip(args: tuple[Any, ...], _: Any) -> int:
    cost = walked(2 * size(args[0]))
    return cost + walked(size(args[1])) if isinstance(args[1], str) else cost


def _contains_cidr(args: tuple[Any, ...], _: Any) -> int:
    return _contains_ip(args, _) + walked(size(args[0])) + 1


def _smaller(args: tuple[Any, ...], _: Any) -> int:
    return walked(min(size(args[0]), size(args[1])))


def equality(one: Any, other: Any) -> int:
    """The cost of ``==``."""
    return walked(min(size(one), size(other)))


def _both(args: tuple[Any, ...], _: Any) -> int:
    return walked(size(args[0]) + size(args[1]))


def _sets(factor: int) -> CostOf:
    return lambda args, _: 1 + size(args[0]) * size(args[1]) * factor


def _traversed(args: tuple[Any, ...], _: Any) -> int:
    return traversal(args[0])


_BY_FUNCTION: dict[str, CostOf] = {
    "check": lambda *_: CHECK,
    "fieldSelector": _selector,
    "labelSelector": _selector,
    "join": lambda _, result: walked(size(result), 2 * STRING_FACTOR),
    "find": _regex,
    "findAll": _regex,
    "validate": _validate,
    "ip": _ip,
    "ip.isCanonical": _first(2 * STRING_FACTOR),
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "replace": _first(2 * STRING_FACTOR),
    "split": _first(2 * STRING_FACTOR),
    "sets.contains": _sets(1),
    "sets.intersects": _sets(1),
    "sets.equivalent": _sets(2),
}
_BY_FUNCTION.update(
    (name, _traversed) for name in ("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf")
)
_WALKED = (
    "url",
    "lowerAscii",
    "upperAscii",
    "substring",
    "trim",
    "jsonpatch.escapeKey",
    "cidr",
    "isIP",
    "isCIDR",
    "quantity",
    "isQuantity",
)
_BY_FUNCTION.update((name, _first(STRING_FACTOR)) for name in _WALKED)
_BY_OVERLOAD: dict[str, CostOf] = {
    "starts_with_string": _first(STRING_FACTOR),
    "ends_with_string": _first(STRING_FACTOR),
    "string_to_bytes": _first(STRING_FACTOR),
    "bytes_to_string": _first(STRING_FACTOR),
    "strings_quote": _first(STRING_FACTOR),
    "string_format": _first(STRING_FACTOR),
    "in_list": lambda args, _: size(args[1]),
    "add_string": _both,
    "add_bytes": _both,
    "matches": _regex,
    "matches_string": _regex,
    "contains_string": _contains,
}
_BY_OVERLOAD.update(
    (f"{order}_{kind}", _smaller)
    for order in ("less", "less_equals", "greater", "greater_equals")
    for kind in ("string", "bytes")
)


def of_call(function: str, overloads: tuple[str, ...]) -> CostOf | None:
    """What a call costs by its arguments and result; None for one unit."""
    known = _BY_FUNCTION.get(function)
    if known is not None or len(overloads) != 1:
        return known
    return _BY_OVERLOAD.get(overloads[0])
