"""Functions on values that may be absent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kdist.apiserver.cel.errors import EvaluationError, no_such_overload
from kdist.apiserver.cel.values import NONE, Optional, size

_ZEROS = (False, 0, 0.0, None)


def _optional(value: Any) -> Optional:
    if isinstance(value, Optional):
        return value
    raise no_such_overload()


def of_non_zero(value: Any) -> Optional:
    """The value, or none if it is zero or empty."""
    if value in _ZEROS if not isinstance(value, str | bytes | list | dict) else not size(value):
        return NONE
    return Optional(value, True)


def value_of(optional: Any) -> Any:
    """The value. EvaluationError when there is none."""
    if not _optional(optional).present:
        raise EvaluationError("optional.none() dereference")
    return optional.value


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "optional.of": lambda value: Optional(value, True),
    "optional.none": lambda: NONE,
    "optional.ofNonZeroValue": of_non_zero,
    "hasValue": lambda optional: _optional(optional).present,
    "value": value_of,
    "or": lambda optional, other: optional if _optional(optional).present else _optional(other),
    "orValue": lambda optional, other: optional.value if _optional(optional).present else other,
}
