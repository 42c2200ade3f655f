"""Counts of workloads: not negative, numbers or percentages, parts that are not more than the whole."""

from __future__ import annotations

from typing import Any

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.validation import causes

_PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
    "regex used for validation is '[0-9]+%')"
)


def not_negative(obj: Obj, key: str, field: str) -> list[Cause]:
    """A cause when the number is below zero."""
    value = obj.get(key)
    if not isinstance(value, int) or value >= 0:
        return []
    return [causes.invalid(field, value, "must be greater than or equal to 0")]


def check_int_or_percent(value: Any, field: str) -> list[Cause]:
    """A count that is not negative, or a percentage up to 100%."""
    if isinstance(value, int):
        return [causes.invalid(field, value, "must be greater than or equal to 0")] if value < 0 else []
    digits = str(value).removesuffix("%")
    if not str(value).endswith("%") or not digits.isdigit():
        return [causes.invalid(field, value, _PERCENT)]
    return [causes.invalid(field, value, "must not be greater than 100%")] if int(digits) > 100 else []


def is_nothing(value: Any) -> bool:
    """Whether a count comes to none: also what cannot be read."""
    text = str(value).removesuffix("%")
    return text == "0" or (isinstance(value, str) and not text.isdigit())


def at_most(status: Obj, key: str, limit: str, told: str = "") -> list[Cause]:
    """A cause when a count of a status is more than another one of it."""
    count = status.get(key) or 0
    if count <= (status.get(limit) or 0):
        return []
    return [causes.invalid(f"status.{key}", count, f"cannot be greater than {told or f'status.{limit}'}")]
