"""``"...".format([...])``: the verbs s, d, f, e, x, X, o and b."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from kdist.apiserver.cel.errors import EvaluationError, no_such_overload
from kdist.apiserver.cel.library.conversions import shown_duration, shown_time, to_string
from kdist.apiserver.cel.library.strings import text
from kdist.apiserver.cel.values import Duration, Timestamp, TypeValue, Uint, type_name

_CLAUSE = re.compile(r"%(?:(%)|(?:\.(\d+))?([a-zA-Z]))|%")
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
            raise EvaluationError("could not parse formatting clause: unexpected end of string")
        at, value = next(given, (len(arguments), _ABSENT))
        if value is _ABSENT:
            raise EvaluationError(f"index {at} out of range")
        return _verb(match[3], int(match[2]) if match[2] else _PRECISION, value)

    return _CLAUSE.sub(clause, text(pattern))


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
    raise EvaluationError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')


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
    raise _misfit("decimal clause can only be used on integers", value)


def _real(verb: str, precision: int, value: Any) -> str:
    if type(value) is str and value in _SPECIAL:
        value = float(value.replace("Infinity", "inf"))
    if type(value) is not float:
        name = "fixed-point" if verb == "f" else "scientific"
        raise _misfit(f"{name} clause can only be used on doubles", value)
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if math.isnan(value):
        return "NaN"
    if verb == "f":
        return f"{value:,.{precision}f}"
    digits, _, exponent = f"{value:.{precision}e}".partition("e")
    return f"{digits}\u202f×\u202f10{exponent.translate(_SUPERSCRIPT)}"


_SUPERSCRIPT = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")


def _hexadecimal(verb: str, value: Any) -> str:
    if type(value) in (int, Uint):
        return format(int(value), verb)
    if type(value) in (str, bytes):
        raw = value.encode() if isinstance(value, str) else value
        return raw.hex() if verb == "x" else raw.hex().upper()
    raise _misfit("only integers, byte buffers, and strings can be formatted as hex", value)


def _integer(verb: str, value: Any, base: str) -> str:
    if type(value) in (int, Uint):
        return format(int(value), base)
    name = {
        "o": "octal clause can only be used on integers",
        "b": "only integers and bools can be formatted as binary",
    }
    raise _misfit(name[verb], value)


FUNCTIONS: dict[str, Callable[..., Any]] = {}
