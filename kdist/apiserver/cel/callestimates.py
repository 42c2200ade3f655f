"""What a call may cost and how large its result may be, by the sizes of what it is given.

The numbers decide which rules a definition may have, so they are upstream's to the unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from kdist.apiserver.cel.ast import Const, Type
from kdist.apiserver.cel.costs import CHECK, LIST, REGEX_FACTOR, STRING_FACTOR, STRUCT
from kdist.apiserver.cel.ranges import MOST, ONE, Range, exactly

NAME_PATTERN = 128  # the size of the longest pattern of a named format


class Operand(Protocol):
    """An argument as far as its cost goes."""

    type: Type
    literal: Const | None

    def size(self) -> Range:
        """How large it may be."""

    def element(self) -> Operand | None:
        """What a list's elements are like."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call costs besides its arguments."""

    cost: Range
    result: Range | None = None


Estimator = Callable[[Operand | None, Sequence[Operand]], Estimate | None]


def _fixed(cost: int) -> Estimator:
    return lambda *_: Estimate(exactly(cost))


def _selector(_: Operand | None, args: Sequence[Operand]) -> Estimate | None:
    size = args[0].size()
    requirements = size.scaled(0.5).scaled(float(LIST + STRUCT))
    return Estimate(exactly(LIST) + size.scaled(STRING_FACTOR) + requirements)


def _list_walk(target: Operand | None, _: Sequence[Operand]) -> Estimate | None:
    if target is None:
        return None
    element = target.element()
    if element is None:  # indexOf and lastIndexOf of texts
        return Estimate(target.size().scaled(STRING_FACTOR))
    cost = ONE
    if element.type[0] in ("string", "bytes"):
        cost = cost + element.size().scaled(STRING_FACTOR)
    return Estimate(target.size().times(cost))


def _argument(factor: float = STRING_FACTOR, *, sized: bool = False) -> Estimator:
    def estimate(_: Operand | None, args: Sequence[Operand]) -> Estimate | None:
        if not args:
            return None
        size = args[0].size()
        return Estimate(size.scaled(factor), size if sized else None)

    return estimate


def _target(target: Operand | None, _: Sequence[Operand]) -> Estimate | None:
    if target is None:
        return None
    size = target.size()
    return Estimate(size.scaled(STRING_FACTOR), size)


def _replace(target: Operand | None, args: Sequence[Operand]) -> Estimate | None:
    if target is None or len(args) < 2:
        return None
    size, old, new = target.size(), args[0].size(), args[1].size()
    most_count, most_kept = _replacements(size.most, old.least, shrinks=new.most <= old.least)
    least_count, least_kept = _replacements(size.least, old.most, shrinks=old.most <= new.least)
    result = Range(least_count, most_count).times(new) + Range(least_kept, most_kept)
    return Estimate(size.scaled(2 * STRING_FACTOR), result)


def _replacements(size: int, old: int, *, shrinks: bool) -> tuple[int, int]:
    """How often a part is replaced, and how much stays; a part of no size is before and after every character."""
    if old == 0:
        return (size + 1 if size < MOST else size), size
    return (0, size) if shrinks else (math.ceil(size / old), 0)


def _split(target: Operand | None, args: Sequence[Operand]) -> Estimate | None:
    if target is None:
        return None
    size = target.size()
    most = size.most
    if len(args) > 1 and args[1].literal is not None and isinstance(args[1].literal.value, int):
        most = args[1].literal.value % (MOST + 1)
    return Estimate(size.scaled(2 * STRING_FACTOR), Range(0, most))


def _join(target: Operand | None, args: Sequence[Operand]) -> Estimate | None:
    if target is None:
        return None
    count, element = target.size(), target.element()
    size = count.times(element.size()) if element is not None else exactly(0)
    if args:
        between = Range(max(count.least - 1, 0), max(count.most - 1, 0))
        size = size + args[0].size().times(between)
    return Estimate(size.scaled(STRING_FACTOR), size)


def _find(target: Operand | None, args: Sequence[Operand]) -> Estimate | None:
    if target is None or not args:
        return None
    size = target.size()
    text = (size + ONE).scaled(STRING_FACTOR)
    return Estimate(text.times(args[0].size().scaled(REGEX_FACTOR)), Range(0, size.most))


_ADDRESS = Range(4, 16)  # bytes of an address


def _contains_ip(target: Operand | None, args: Sequence[Operand]) -> Estimate | None:
    if target is None or not args:
        return None
    cost = (_ADDRESS + _ADDRESS).scaled(STRING_FACTOR)
    return Estimate(cost + args[0].size().scaled(STRING_FACTOR) if args[0].type[0] == "string" else cost)


def _contains_cidr(target: Operand | None, args: Sequence[Operand]) -> Estimate | None:
    estimate = _contains_ip(target, args)
    if estimate is None:
        return None
    return Estimate(estimate.cost + _ADDRESS.scaled(STRING_FACTOR) + ONE)


def _validate(target: Operand | None, args: Sequence[Operand]) -> Estimate | None:
    if target is None:
        return None
    return Estimate(args[0].size().scaled(STRING_FACTOR).scaled(NAME_PATTERN * REGEX_FACTOR))


def _sets(factor: int) -> Estimator:
    def estimate(_: Operand | None, args: Sequence[Operand]) -> Estimate | None:
        return Estimate(args[0].size().times(args[1].size()).scaled(float(factor)) + ONE)

    return estimate


_NOMINAL = """
serviceAccount path group resource subresource namespace name allowed reason error errored masked prefixLength family
isUnspecified isLoopback isLinkLocalMulticast isLinkLocalUnicast isGlobalUnicast format.named sign asInteger isInteger
asApproximateFloat isGreaterThan isLessThan compareTo add sub getScheme getHostname getHost getPort getEscapedPath
getQuery
"""
BY_FUNCTION: dict[str, Estimator] = {
    **dict.fromkeys(_NOMINAL.split(), _fixed(1)),
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _list_walk),
    **dict.fromkeys(("url", "jsonpatch.escapeKey"), _argument(sized=True)),
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _target),
    **dict.fromkeys(("fieldSelector", "labelSelector"), _selector),
    **dict.fromkeys(("find", "findAll"), _find),
    "check": _fixed(CHECK),
    "replace": _replace,
    "split": _split,
    "join": _join,
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "validate": _validate,
    "sets.contains": _sets(1),
    "sets.intersects": _sets(1),
    "sets.equivalent": _sets(2),
}


def _format(target: Operand | None, _: Sequence[Operand]) -> Estimate | None:
    return None if target is None else Estimate(target.size().scaled(STRING_FACTOR))


def _to_bytes(_: Operand | None, args: Sequence[Operand]) -> Estimate | None:
    size = args[0].size()
    return Estimate(size.scaled(STRING_FACTOR), Range(size.least, min(size.most * 4, MOST)))


def _to_text(_: Operand | None, args: Sequence[Operand]) -> Estimate | None:
    size = args[0].size()
    return Estimate(size.scaled(STRING_FACTOR), Range(size.least // 4, size.most))


def _quote(_: Operand | None, args: Sequence[Operand]) -> Estimate | None:
    size = args[0].size()
    return Estimate(size.scaled(STRING_FACTOR), Range(size.least + 2, min(size.most * 2 + 2, MOST)))


def _in_list(_: Operand | None, args: Sequence[Operand]) -> Estimate | None:
    return Estimate(args[1].size())


def _matches(target: Operand | None, args: Sequence[Operand]) -> Estimate | None:
    if target is None or len(args) != 1:
        return None
    text = (target.size() + ONE).scaled(STRING_FACTOR)
    return Estimate(text.times(args[0].size().scaled(REGEX_FACTOR)))


def _contains(target: Operand | None, args: Sequence[Operand]) -> Estimate | None:
    if target is None or len(args) != 1:
        return None
    return Estimate(target.size().scaled(STRING_FACTOR).times(args[0].size().scaled(STRING_FACTOR)))


def _concatenate(factor: float | None) -> Estimator:
    def estimate(_: Operand | None, args: Sequence[Operand]) -> Estimate | None:
        size = args[0].size() + args[1].size()
        return Estimate(ONE if factor is None else size.scaled(factor), size)

    return estimate


def _comparison(_: Operand | None, args: Sequence[Operand]) -> Estimate | None:
    most = min(args[0].size().most, args[1].size().most)
    return Estimate(Range(1 if most > 0 else 0, most).scaled(STRING_FACTOR))


BY_OVERLOAD: dict[str, Estimator] = {
    "string_format": _format,
    "string_to_bytes": _to_bytes,
    "bytes_to_string": _to_text,
    "strings_quote": _quote,
    "starts_with_string": _argument(),
    "ends_with_string": _argument(),
    "in_list": _in_list,
    "matches": _matches,
    "matches_string": _matches,
    "contains_string": _contains,
    "add_string": _concatenate(STRING_FACTOR),
    "add_bytes": _concatenate(STRING_FACTOR),
    "add_list": _concatenate(None),
    "equals": _comparison,
    "not_equals": _comparison,
    **{
        f"{order}_{kind}": _comparison
        for order in ("less", "less_equals", "greater", "greater_equals")
        for kind in ("string", "bytes")
    },
}
