"""The causes of a refusal, worded as every Kubernetes client knows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from kdist.api.errors import Cause

IMMUTABLE = "field is immutable"


def shown(value: Any) -> str:
    """A value inside a message: strings quoted, the rest as compact JSON."""
    return '"null"' if value is None else orjson.dumps(value).decode()


def shown_labels(labels: dict[str, str] | None) -> str:
    """Labels inside a message, as upstream writes them."""
    if labels is None:
        return "map[string]string(nil)"
    pairs = ", ".join(f'"{k}":"{v}"' for k, v in sorted(labels.items()))
    return f"map[string]string{{{pairs}}}"


def required(field: str, detail: str = "") -> Cause:
    """The field must be set."""
    return Cause(field, f"Required value: {detail}" if detail else "Required value", "FieldValueRequired")


def invalid(field: str, value: Any, detail: str) -> Cause:
    """The value is not allowed here."""
    told = shown_labels(value) if field.endswith(".labels") and not isinstance(value, str) else shown(value)
    return Cause(field, f"Invalid value: {told}: {detail}", "FieldValueInvalid")


def not_supported(field: str, value: Any, supported: Iterable[str]) -> Cause:
    """The value is none of an enumeration's, which is told in the order given."""
    options = ", ".join(shown(v) for v in supported)
    message = f"Unsupported value: {shown(value)}"
    return Cause(
        field, f"{message}: supported values: {options}" if options else message, "FieldValueNotSupported"
    )


def forbidden(field: str, detail: str) -> Cause:
    """The field must not be set, or not be changed this way."""
    return Cause(field, f"Forbidden: {detail}", "FieldValueForbidden")


def duplicate(field: str, value: Any) -> Cause:
    """The value is there twice where it must be unique."""
    return Cause(field, f"Duplicate value: {shown(value)}", "FieldValueDuplicate")


def not_found(field: str, value: Any) -> Cause:
    """The value refers to something that is not there."""
    return Cause(field, f"Not found: {shown(value)}", "FieldValueNotFound")


def too_long(field: str, limit: int) -> Cause:
    """The text has more bytes than allowed."""
    return Cause(field, f"Too long: may not be more than {limit} bytes", "FieldValueTooLong")


def too_many(field: str, count: int, limit: int) -> Cause:
    """The list has more items than allowed."""
    return Cause(field, f"Too many: {count}: must have at most {limit} items", "FieldValueTooMany")


def immutable(field: str, new: Any, old: Any) -> list[Cause]:
    """A cause when the field's value changed."""
    return [] if new == old else [invalid(field, new, IMMUTABLE)]
