"""How long a request may take: the ``timeout`` of its query, at most as long as the server lets any request take."""

from __future__ import annotations

import re

from kdist.api.errors import BadRequest
from kdist.apiserver.requestinfo import Query, first

_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # the micro sign
    "μs": 1e-6,  # the Greek letter
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([^0-9.]*)")


def of(query: Query, longest: float) -> float:
    """Seconds. BadRequest for a timeout that is no duration."""
    text = first(query, "timeout")
    if not text:
        return longest
    try:
        asked = parse_duration(text)
    except ValueError as error:
        raise BadRequest(f"invalid timeout specified in the request URL - {error}") from error
    return min(asked, longest) if asked > 0 else longest


def parse_duration(text: str) -> float:
    """Seconds of a duration as Go writes it, such as ``1m30s``. ValueError in Go's words."""
    rest = text.removeprefix("-") if text.startswith("-") else text.removeprefix("+")
    if rest == "0":
        return 0.0
    total, at = 0.0, 0
    for part in _PART.finditer(rest):
        if part.start() != at:
            break
        number, unit = part.groups()
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        total, at = total + float(number) * _UNITS[unit], part.end()
    if not rest or at != len(rest):
        raise ValueError(f'time: invalid duration "{text}"')
    return -total if text.startswith("-") else total
