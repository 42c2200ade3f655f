"""Operators on numbers, texts, times and lists."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kdist.apiserver.cel.errors import EvaluationError, no_such_overload
from kdist.apiserver.cel.values import (
    INT_MAX,
    INT_MIN,
    UINT_MAX,
    Duration,
    MapList,
    SetList,
    Timestamp,
    Uint,
    compare,
)


def _int(value: int) -> int:
    if INT_MIN <= value <= INT_MAX:
        return value
    raise EvaluationError("integer overflow")


def _uint(value: int) -> Uint:
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise EvaluationError("unsigned integer overflow")


def add(one: Any, other: Any) -> Any:
    """``+``."""
    kind, kind2 = type(one), type(other)
    if kind is kind2:
        if kind is int:
            return _int(one + other)
        if kind is Uint:
            return _uint(int(one) + int(other))
        if kind in (str, bytes, float):
            return one + other
        if kind is Duration:
            return Duration(_int(one.nanos + other.nanos))
    if isinstance(one, list) and isinstance(other, list):
        return one.plus(other) if isinstance(one, SetList | MapList) else [*one, *other]
    if {kind, kind2} == {Timestamp, Duration}:
        moment = one if kind is Timestamp else other
        return _moment(one.nanos + other.nanos, moment.offset)
    raise no_such_overload()


def _moment(nanos: int, offset: int) -> Timestamp:
    made = Timestamp(nanos, offset)
    made.moment  # noqa: B018  raises past the years that there are
    return made


def subtract(one: Any, other: Any) -> Any:
    """``-``."""
    kind, kind2 = type(one), type(other)
    if kind is int and kind2 is int:
        return _int(one - other)
    if kind is Uint and kind2 is Uint:
        return _uint(int(one) - int(other))
    if kind is float and kind2 is float:
        return one - other
    if kind is kind2 and kind in (Timestamp, Duration):
        return Duration(_int(one.nanos - other.nanos))
    if kind is Timestamp and kind2 is Duration:
        return _moment(one.nanos - other.nanos, one.offset)
    raise no_such_overload()


def multiply(one: Any, other: Any) -> Any:
    """``*``."""
    if type(one) is int and type(other) is int:
        return _int(one * other)
    if type(one) is Uint and type(other) is Uint:
        return _uint(int(one) * int(other))
    if type(one) is float and type(other) is float:
        return one * other
    raise no_such_overload()


def _truncated(one: int, other: int) -> int:
    quotient = abs(one) // abs(other)
    return quotient if (one < 0) is (other < 0) else -quotient


def divide(one: Any, other: Any) -> Any:
    """``/``: integers towards zero."""
    if type(one) is float and type(other) is float:
        if other == 0:
            return math.nan if one == 0 or math.isnan(one) else math.copysign(math.inf, one * other or one)
        return one / other
    if type(one) is not type(other) or type(one) not in (int, Uint):
        raise no_such_overload()
    if other == 0:
        raise EvaluationError("division by zero")
    quotient = _truncated(int(one), int(other))
    return _int(quotient) if type(one) is int else Uint(quotient)


def remainder(one: Any, other: Any) -> Any:
    """``%``: with the sign of the dividend."""
    if type(one) is not type(other) or type(one) not in (int, Uint):
        raise no_such_overload()
    if other == 0:
        raise EvaluationError("modulus by zero")
    rest = int(one) - _truncated(int(one), int(other)) * int(other)
    return rest if type(one) is int else Uint(rest)


def negate(value: Any) -> Any:
    """``-x``."""
    if type(value) is int:
        return _int(-value)
    if type(value) is float:
        return -value
    raise no_such_overload()


def invert(value: Any) -> bool:
    """``!x``."""
    if value is True or value is False:
        return not value
    raise no_such_overload()


def _order(test: Callable[[int], bool]) -> Callable[[Any, Any], bool]:
    def evaluate(one: Any, other: Any) -> bool:
        if type(one) is int and type(other) is int:
            return test((one > other) - (one < other))
        return test(compare(one, other))

    return evaluate


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "_+_": add,
    "_-_": subtract,
    "_*_": multiply,
    "_/_": divide,
    "_%_": remainder,
    "-_": negate,
    "!_": invert,
    "_<_": _order(lambda order: order < 0),
    "_<=_": _order(lambda order: order <= 0),
    "_>_": _order(lambda order: order > 0),
    "_>=_": _order(lambda order: order >= 0),
}
