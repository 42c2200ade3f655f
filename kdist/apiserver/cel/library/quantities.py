"""Kubernetes' quantities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from kdist.api import quantity
from kdist.apiserver.cel.errors import EvaluationError, no_such_overload
from kdist.apiserver.cel.library.strings import text
from kdist.apiserver.cel.values import INT_MAX, INT_MIN, Opaque


@dataclass(frozen=True, slots=True)
class Quantity(Opaque):
    """An exact amount."""

    cel_type: ClassVar[str] = "kubernetes.Quantity"
    amount: Decimal


def parse(value: Any) -> Quantity:
    """``quantity``."""
    try:
        return Quantity(_amount(text(value)))
    except quantity.QuantityError as error:
        raise EvaluationError(str(error)) from error


def _amount(given: str) -> Decimal:
    if given != given.strip():
        raise quantity.QuantityError
    return quantity.parse(given)


def is_quantity(value: Any) -> bool:
    """Whether the text is a quantity."""
    try:
        _amount(text(value))
    except quantity.QuantityError:
        return False
    return True


def _of(value: Any) -> Decimal:
    if isinstance(value, Quantity):
        return value.amount
    raise no_such_overload()


def _order(one: Any, other: Any) -> int:
    left, right = _of(one), _of(other)
    return (left > right) - (left < right)


def is_integer(value: Any) -> bool:
    """Whether the amount is a whole number of 64 bits."""
    amount = _of(value)
    return amount == amount.to_integral_value() and INT_MIN <= amount <= INT_MAX


def as_integer(value: Any) -> int:
    """The whole number. EvaluationError when the amount is none."""
    if not is_integer(value):
        raise EvaluationError("cannot convert value to integer")
    return int(_of(value))


def _operand(value: Any) -> Decimal:
    return Decimal(value) if type(value) is int else _of(value)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "quantity": parse,
    "isQuantity": is_quantity,
    "sign": lambda value: _order(value, Quantity(Decimal(0))),
    "isGreaterThan": lambda one, other: _order(one, other) > 0,
    "isLessThan": lambda one, other: _order(one, other) < 0,
    "compareTo": _order,
    "asApproximateFloat": lambda value: float(_of(value)),
    "asInteger": as_integer,
    "isInteger": is_integer,
    "add": lambda one, other: Quantity(_of(one) + _operand(other)),
    "sub": lambda one, other: Quantity(_of(one) - _operand(other)),
}
