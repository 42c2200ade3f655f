"""What is wrong with a list of metav1.Condition."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import not_negative, ruled, word

_REASON = re.compile("[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_REASON_LIMIT = 1024
_MESSAGE_LIMIT = 32 * 1024


def check_conditions(conditions: list[Obj], where: str) -> list[Cause]:
    """Causes for conditions, each of which is there once."""
    found: list[Cause] = []
    seen: set[str] = set()
    for at, condition in enumerate(conditions):
        field, kind = f"{where}[{at}]", condition.get("type") or ""
        if kind in seen:
            found.append(causes.duplicate(f"{field}.type", kind))
        seen.add(kind)
        found += _condition(condition, field)
    return found


def _condition(condition: Obj, where: str) -> Iterator[Cause]:
    yield from ruled(f"{where}.type", condition.get("type") or "", names.qualified_name)
    yield from word(f"{where}.status", condition.get("status"), ("False", "True", "Unknown"))
    yield from not_negative(f"{where}.observedGeneration", condition.get("observedGeneration"))
    if condition.get("lastTransitionTime") is None:
        yield causes.required(f"{where}.lastTransitionTime", "must be set")
    reason = condition.get("reason") or ""
    if len(reason) > _REASON_LIMIT:
        yield causes.too_long(f"{where}.reason", _REASON_LIMIT)
    if not reason:
        yield causes.required(f"{where}.reason", "must be set")
    elif not _REASON.fullmatch(reason):
        told = (
            "a condition reason must start with alphabetic character, optionally followed by a string of "
            "alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name', "
            " or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is "
            f"'{_REASON.pattern}')"
        )
        yield causes.invalid(f"{where}.reason", reason, told)
    if len((condition.get("message") or "").encode()) > _MESSAGE_LIMIT:
        yield causes.too_long(f"{where}.message", _MESSAGE_LIMIT)
