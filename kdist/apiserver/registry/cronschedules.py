"""The schedules of CronJobs: five fields or a descriptor, and a time zone."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.validation import causes

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: at for at, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: at for at, name in enumerate(_DAYS)}),
)
_DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


def check(spec: Obj) -> Iterator[Cause]:
    """Causes for the schedule and the time zone of a CronJobSpec."""
    text = spec.get("schedule") or ""
    if not text:
        yield causes.required("spec.schedule")
    elif "TZ" in text:
        told = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        yield causes.invalid("spec.schedule", text, told)
    elif wrong := complaint(text):
        yield causes.invalid("spec.schedule", text, wrong)
    zone = spec.get("timeZone")
    if zone is not None:
        yield from _zone(zone)


def _zone(zone: str) -> Iterator[Cause]:
    field = "spec.timeZone"
    if not zone:
        yield causes.invalid(field, zone, "timeZone must be nil or non-empty string")
        return
    if zone.lower() == "local":
        told = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield causes.invalid(field, zone, told)
        return
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a name that no file can have
        yield causes.invalid(field, zone, f"unknown time zone {zone}")


def complaint(schedule: str) -> str:
    """What is wrong with a schedule; empty when nothing is."""
    if schedule.startswith("@"):
        known = schedule in _DESCRIPTORS or schedule.startswith("@every ")
        return "" if known else f"unrecognized descriptor: {schedule}"
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    for field, (low, high, words) in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            if wrong := _range(part, low, high, words):
                return wrong
    return ""


def _range(text: str, low: int, high: int, words: dict[str, int]) -> str:
    interval, _, step = text.partition("/")
    first, dash, last = interval.partition("-")
    if first in ("*", "?") and not dash:
        start, end = low, high
    else:
        numbers = [_number(part, words) for part in ((first, last) if dash else (first, first))]
        for number in numbers:
            if isinstance(number, str):
                return number
        start, end = (int(number) for number in numbers)
        end = high if step and not dash else end
    if step and not (step.isdigit() and int(step)):
        return f"step of range should be a positive number: {text}"
    if start < low:
        return f"beginning of range ({start}) below minimum ({low}): {text}"
    if end > high:
        return f"end of range ({end}) above maximum ({high}): {text}"
    if start > end:
        return f"beginning of range ({start}) beyond end of range ({end}): {text}"
    return ""


def _number(text: str, words: dict[str, int]) -> int | str:
    """The number that a text stands for, or what is wrong with it."""
    if text.lower() in words:
        return words[text.lower()]
    if text.isdigit():
        return int(text)
    return f"failed to parse int from {text}: invalid syntax"
