"""Fields that take one of a few words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kdist.api.errors import Cause
from kdist.apiserver.validation import causes


def one_of(obj: Mapping[str, Any], name: str, field: str, values: Iterable[str]) -> list[Cause]:
    """A cause when the field of ``obj``, which lies at ``field``, is there and none of the words."""
    value = obj.get(name)
    if value is None or value in values:
        return []
    return [causes.not_supported(f"{field}.{name}", value, values)]
