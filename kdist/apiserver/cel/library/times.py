"""Parts of timestamps, in UTC or a named zone, and of durations."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kdist.apiserver.cel.errors import EvaluationError, no_such_overload
from kdist.apiserver.cel.values import SECOND, Duration, Timestamp

_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)")


def _zone(name: Any) -> tzinfo:
    match = _OFFSET.fullmatch(name)
    if match is None:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise EvaluationError(f"unknown time zone {name}") from error
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)


def _part(read: Callable[[datetime], int], scale: int = 0) -> Callable[..., int]:
    """A part of a timestamp; with a scale in nanoseconds, also the whole of a duration in that unit."""

    def evaluate(value: Any, zone: Any = None) -> int:
        if type(value) is Duration and scale and zone is None:
            whole = abs(value.nanos) // scale
            return whole if value.nanos >= 0 else -whole
        if type(value) is not Timestamp:
            raise no_such_overload()
        return read(value.moment if zone is None else value.moment.astimezone(_zone(zone)))

    return evaluate


def _milliseconds(value: Any, zone: Any = None) -> int:
    if type(value) is Duration:
        whole = abs(value.nanos) // 1_000_000
        return whole if value.nanos >= 0 else -whole
    if type(value) is not Timestamp:
        raise no_such_overload()
    return value.nanos % SECOND // 1_000_000


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "getFullYear": _part(lambda moment: moment.year),
    "getMonth": _part(lambda moment: moment.month - 1),
    "getDate": _part(lambda moment: moment.day),
    "getDayOfMonth": _part(lambda moment: moment.day - 1),
    "getDayOfWeek": _part(lambda moment: moment.isoweekday() % 7),
    "getDayOfYear": _part(lambda moment: moment.timetuple().tm_yday - 1),
    "getHours": _part(lambda moment: moment.hour, 3600 * SECOND),
    "getMinutes": _part(lambda moment: moment.minute, 60 * SECOND),
    "getSeconds": _part(lambda moment: moment.second, SECOND),
    "getMilliseconds": _milliseconds,
}
