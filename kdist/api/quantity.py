"""Resource quantities: ``500m``, ``1.5Gi``, ``2e3``, exact, as in the published resource.Quantity grammar."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_UP, Decimal, localcontext
from functools import lru_cache
from typing import Literal

Style = Literal["DecimalSI", "BinarySI", "DecimalExponent"]
Text = str | int | float

_GRAMMAR = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([KMGTPE]i|[numkMGTPE])?)")
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {0: "", **{power: suffix for suffix, power in _BINARY.items()}}
_NANO = Decimal("1e-9")
_MAX = Decimal(2**63 - 1)
_EXPONENT_DIGITS = 11  # of a signed 32-bit number
_BEYOND_ALL = 40  # powers of ten between the finest and the largest quantity, and some


class QuantityError(ValueError):
    """The text is not a quantity."""

    def __init__(self) -> None:
        super().__init__(f"quantities must match the regular expression '{PATTERN}'")


PATTERN = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"


@lru_cache(maxsize=4096)
def _split(text: str) -> tuple[Decimal, Style]:
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise QuantityError
    digits, exponent, suffix = match.groups()
    number = Decimal(digits)
    style: Style = "DecimalSI"
    with localcontext() as context:
        context.prec = 60
        if exponent:
            number, style = number.scaleb(_power(exponent[1:], len(digits))), "DecimalExponent"
        elif suffix in _BINARY:
            number, style = number * 1024 ** _BINARY[suffix], "BinarySI"
        else:
            number = number.scaleb(_DECIMAL[suffix or ""])
        number = max(-_MAX, min(_MAX, number))
        # Finer than nano rounds away from zero, so that asking for some never becomes none.
        return (number.quantize(_NANO, ROUND_UP) if number % _NANO else number), style


def _power(text: str, digits: int) -> int:
    """A decimal exponent, no larger than makes a difference to a number of so many digits. QuantityError."""
    if len(text) > _EXPONENT_DIGITS:
        raise QuantityError
    limit = digits + _BEYOND_ALL
    return max(-limit, min(limit, int(text)))


def parse(text: Text) -> Decimal:
    """The exact value. Raises QuantityError (a ValueError)."""
    return _split(str(text).strip() if isinstance(text, str) else str(text))[0]


def milli(text: Text) -> int:
    """Thousandths, rounded up: how CPU is counted."""
    return int((parse(text) * 1000).to_integral_value(ROUND_CEILING))


def value(text: Text) -> int:
    """Whole units, rounded up: how bytes and counts are counted."""
    return int(parse(text).to_integral_value(ROUND_CEILING))


def format(number: Decimal | int, style: Style = "DecimalSI") -> str:
    """The canonical text: the largest suffix that needs no fraction."""
    number = Decimal(number)
    if not number:
        return "0"
    with localcontext() as context:
        context.prec = 60
        if style == "BinarySI" and abs(number) >= 1024:
            return _format_binary(int(number.to_integral_value(ROUND_CEILING)))
        return _format_decimal(number, style)


def _format_binary(number: int) -> str:
    power = 0
    while power < 6 and number % 1024 == 0:
        number, power = number // 1024, power + 1
    return f"{number}{_BINARY_SUFFIX[power]}"


def _format_decimal(number: Decimal, style: Style) -> str:
    exponent = 18
    while exponent > -9 and number.scaleb(-exponent) % 1:
        exponent -= 3
    mantissa = int(number.scaleb(-exponent).to_integral_value(ROUND_UP))
    if style == "DecimalExponent":
        return f"{mantissa}e{exponent}" if exponent else str(mantissa)
    return f"{mantissa}{_DECIMAL_SUFFIX[exponent]}"


@lru_cache(maxsize=4096)
def canonical(text: Text) -> str:
    """The same quantity as the API stores it: ``1000m`` becomes ``1``, ``0.5Gi`` becomes ``512Mi``."""
    number, style = _split(str(text).strip())
    return format(number, style)


def add(*quantities: Text) -> str:
    """The sum, in the style of the first operand that is not zero."""
    split = [_split(str(q).strip()) for q in quantities]
    style: Style = next((s for number, s in split if number), "DecimalSI")
    return format(sum((number for number, _ in split), Decimal()), style)


def subtract(left: Text, right: Text) -> str:
    """``left - right``, in the style of ``left``."""
    number, style = _split(str(left).strip())
    return format(number - parse(right), style)
