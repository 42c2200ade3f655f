"""``"...".format([...])``: the verbs s, d, f, e, x, X, o and b."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from kdist.apiserver.cel.errors import EvaluationError, no_such_overload
from kdist.apiserver.cel.formatclauses import CLAUSE, UNEXPECTED_END, misfit, unrecognized
from kdist.apiserver.cel.library.conversions import shown_duration, shown_time, to_string
from kdist.apiserver.cel.library.strings import text
from kdist.apiserver.cel.values import Duration, Timestamp, TypeValue, Uint, type_name

_SPECIAL = ("NaN", "Infinity", "-Infinity")
_PRECISION = 6


def string_format(pattern: Any, arguments: Any) -> str:
    """The text with its clauses filled in."""
    if not isinstance(arguments, list):
        raise no_such_overload()
    given = iter(enumerate(arguments))

    def clause(match: re.Match[str]) -> str:
        if match[1]:
            return "%"
        if not match[3]:
            raise EvaluationError(UNEXPECTED_END)
        at, value = next(given, (len(arguments), _ABSENT))
        if value is _ABSENT:
            raise EvaluationError(f"index {at} out of range")
        return _verb(match[3], int(match[2]) if match[2] else _PRECISION, value)

    return CLAUSE.sub(clause, text(pattern))


_ABSENT = object()


def _verb(verb: str, precision: int, value: Any) -> str:
    match verb:
        case "s":
            return _shown(value)
        case "d":
            return _decimal(value)
        case "f" | "e":
            return _real(verb, precision, value)
        case "x" | "X":
            return _hexadecimal(verb, value)
        case "o":
            return _integer(verb, value, "o")
        case "b":
            return ("1" if value else "0") if type(value) is bool else _integer(verb, value, "b")
    raise EvaluationError(unrecognized(verb))


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ", ".join(map(_quoted, value)) + "]"
    if isinstance(value, dict):
        pairs = sorted((_quoted(key), _quoted(part)) for key, part in value.items())
        return "{" + ", ".join(f"{key}:{part}" for key, part in pairs) + "}"
    if isinstance(value, str | bool | int | float | bytes | Timestamp | Duration | TypeValue):
        return to_string(value)
    raise _misfit(
        "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, "
        "types, durations, and timestamps",
        value,
    )


def _quoted(value: Any) -> str:
    """A value inside a list or a map, as an expression would write it."""
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False)
        case bytes():
            return "b" + json.dumps(value.decode(errors="replace"), ensure_ascii=False)
        case Timestamp():
            return f'timestamp("{shown_time(value)}")'
        case Duration():
            return f'duration("{shown_duration(value)}")'
        case float():
            if not math.isfinite(value):
                return json.dumps(to_string(value))
            return f"{value:.{_PRECISION}f}"
    return _shown(value)


def _misfit(told: str, value: Any) -> EvaluationError:
    return EvaluationError(f"error during formatting: {told}, was given {type_name(value)}")


def _decimal(value: Any) -> str:
    if type(value) in (int, Uint):
        return str(int(value))
    raise EvaluationError(misfit("d", type_name(value)))


def _real(verb: str, precision: int, value: Any) -> str:
    if type(value) is str and value in _SPECIAL:
        value = float(value.replace("Infinity", "inf"))
    if type(value) is not float:
        raise EvaluationError(misfit(verb, type_name(value)))
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if math.isnan(value):
        return "NaN"
    if verb == "f":
        return f"{value:,.{precision}f}"
    digits, _, exponent = f"{value:.{precision}e}".partition("e")
    return f"{digits}\u202f×\u202f10{exponent.lstrip('+').translate(_SUPERSCRIPT)}"


_SUPERSCRIPT = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")


def _hexadecimal(verb: str, value: Any) -> str:
    if type(value) in (int, Uint):
        return format(int(value), verb)
    if type(value) in (str, bytes):
        raw = value.encode() if isinstance(value, str) else value
        return raw.hex() if verb == "x" else raw.hex().upper()
    raise EvaluationError(misfit(verb, type_name(value)))


def _integer(verb: str, value: Any, base: str) -> str:
    if type(value) in (int, Uint):
        return format(int(value), base)
    raise EvaluationError(misfit(verb, type_name(value)))


FUNCTIONS: dict[str, Callable[..., Any]] = {}
