"""Conversions between types, and ``type`` itself."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from kdist.apiserver.cel import values
from kdist.apiserver.cel.errors import EvaluationError
from kdist.apiserver.cel.library.addresses import CIDR, IP
from kdist.apiserver.cel.values import (
    INT_MAX,
    INT_MIN,
    SECOND,
    UINT_MAX,
    Duration,
    Timestamp,
    TypeValue,
    Uint,
    type_name,
)

_BOOLS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_INTEGER = re.compile(r"[+-]?[0-9]+")
_UNSIGNED = re.compile(r"[0-9]+")
_FLOAT = re.compile(
    r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|inf|infinity|nan)", re.IGNORECASE
)


def _cannot(value: Any, wanted: str) -> EvaluationError:
    return EvaluationError(f"type conversion error from '{type_name(value)}' to '{wanted}'")


def to_int(value: Any) -> int:
    """``int``; doubles are cut off."""
    if type(value) in (int, Uint):
        number = int(value)
    elif type(value) is float:
        if not math.isfinite(value) or abs(value) >= 2.0**63:
            raise EvaluationError("integer overflow")
        number = int(value)
    elif type(value) is str and _INTEGER.fullmatch(value):
        number = int(value)
        if not INT_MIN <= number <= INT_MAX:
            raise _cannot(value, "int")
    elif type(value) is Timestamp:
        number = value.nanos // SECOND
    elif type(value) is Duration:
        number = value.nanos
    else:
        raise _cannot(value, "int")
    if INT_MIN <= number <= INT_MAX:
        return number
    raise EvaluationError("integer overflow")


def to_uint(value: Any) -> Uint:
    """``uint``."""
    if type(value) is float and not math.isfinite(value):
        raise EvaluationError("unsigned integer overflow")
    if type(value) is str and not (_UNSIGNED.fullmatch(value) and int(value) <= UINT_MAX):
        raise _cannot(value, "uint")
    if type(value) not in (int, Uint, float, str):
        raise _cannot(value, "uint")
    number = int(value)
    if 0 <= number <= UINT_MAX:
        return Uint(number)
    raise EvaluationError("unsigned integer overflow")


def to_double(value: Any) -> float:
    """``double``."""
    if type(value) in (int, Uint, float):
        return float(value)
    if type(value) is str and _FLOAT.fullmatch(value):
        return float(value)
    raise _cannot(value, "double")


def to_bool(value: Any) -> bool:
    """``bool``."""
    if type(value) is bool:
        return value
    if type(value) is str and value in _BOOLS:
        return _BOOLS[value]
    raise _cannot(value, "bool")


def to_bytes(value: Any) -> bytes:
    """``bytes``."""
    if type(value) is bytes:
        return value
    if type(value) is str:
        return value.encode()
    raise _cannot(value, "bytes")


def to_string(value: Any) -> str:
    """``string``."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(int(value))
        case float():
            return shortest(value)
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError as error:
                raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from error
        case Timestamp():
            return shown_time(value)
        case Duration():
            return shown_duration(value)
        case IP() | CIDR():
            return str(value)
        case TypeValue():
            return value.name
    raise _cannot(value, "string")


def shortest(value: float) -> str:
    """A double as Go prints it in its shortest form: with an exponent from a million on."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    digits = Decimal(repr(value)).normalize()
    exponent = digits.adjusted()
    if value == 0 or -4 <= exponent < 6:
        return f"{digits:f}"
    return f"{digits.scaleb(-exponent):f}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def shown_time(value: Timestamp) -> str:
    """RFC 3339 in its own zone, with as many digits as it takes."""
    fraction = f"{value.nanos % SECOND:09d}".rstrip("0")
    local = value.moment + timedelta(seconds=value.offset)
    sign, minutes = ("-" if value.offset < 0 else "+"), abs(value.offset) // 60
    zone = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}" if value.offset else "Z"
    return f"{local.year:04d}-{local:%m-%dT%H:%M:%S}{'.' + fraction if fraction else ''}{zone}"


def shown_duration(value: Duration) -> str:
    """In seconds."""
    sign, nanos = ("-" if value.nanos < 0 else ""), abs(value.nanos)
    fraction = f"{nanos % SECOND:09d}".rstrip("0")
    return f"{sign}{nanos // SECOND}{'.' + fraction if fraction else ''}s"


def to_timestamp(value: Any) -> Timestamp:
    """``timestamp``: of RFC 3339 or of seconds."""
    if type(value) is Timestamp:
        return value
    made = None
    if type(value) is int:
        made = Timestamp(value * SECOND)
        made.moment  # noqa: B018  raises past the years that there are
    elif type(value) is str:
        made = values.parse_timestamp(value)
    if made is None:
        raise _cannot(value, "google.protobuf.Timestamp")
    return made


def to_duration(value: Any) -> Duration:
    """``duration``: of Go's notation or of nanoseconds."""
    if type(value) is Duration:
        return value
    made = None
    if type(value) is int:
        made = Duration(value)
    elif type(value) is str:
        made = values.parse_duration(value)
    if made is None:
        raise _cannot(value, "google.protobuf.Duration")
    return made


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "int": to_int,
    "uint": to_uint,
    "double": to_double,
    "bool": to_bool,
    "bytes": to_bytes,
    "string": to_string,
    "timestamp": to_timestamp,
    "duration": to_duration,
    "dyn": lambda value: value,
    "type": lambda value: TypeValue(type_name(value)),
}
