"""Cron schedules: five fields, names, ranges, steps, ``@daily`` and the like, in a time zone. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
# A schedule such as February 30th never comes: stop looking after this.
_HORIZON = timedelta(days=5 * 366)


class ScheduleError(ValueError):
    """The text is not a schedule."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The minutes at which it fires. When both day fields are restricted, either of them is enough."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool
    zone: tzinfo = UTC
    every: timedelta | None = None

    def _matches_day(self, moment: datetime) -> bool:
        day = moment.day in self.days
        weekday = moment.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return day and weekday
        return day or weekday

    def after(self, moment: datetime) -> datetime | None:
        """The first firing later than ``moment``; None when there is none within five years."""
        if self.every is not None:
            return moment.replace(microsecond=0) + self.every
        here = moment.astimezone(self.zone)
        local = here.replace(second=0, microsecond=0, tzinfo=None, fold=0) + timedelta(minutes=1)
        fires = self._from(local, moment)
        if fires is None:
            return None
        set_back = _offset(here) - _offset(fires.astimezone(self.zone))
        if set_back > timedelta():
            # Some wall-clock minutes before this one come a second time (autumn).
            fires = self._from(local - set_back, moment)
        return fires

    def _from(self, local: datetime, moment: datetime) -> datetime | None:
        """The first wall-clock minute from ``local`` on that fires later than ``moment``."""
        end = local + _HORIZON
        while local < end:
            if local.month not in self.months:
                local = (local.replace(day=1, hour=0, minute=0) + timedelta(days=32)).replace(day=1)
            elif not self._matches_day(local):
                local = local.replace(hour=0, minute=0) + timedelta(days=1)
            elif local.hour not in self.hours:
                local = local.replace(minute=0) + timedelta(hours=1)
            elif local.minute not in self.minutes:
                local += timedelta(minutes=1)
            else:
                # A minute may come twice, or not at all (spring: then the clock is read as if it had not moved).
                both = (local.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
                if later := [fires for fires in both if fires > moment]:
                    return later[0]
                local += timedelta(minutes=1)
        return None

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The firings later than ``start`` and not later than ``end``."""
        moment = self.after(start)
        while moment is not None and moment <= end:
            yield moment
            moment = self.after(moment)


def _offset(moment: datetime) -> timedelta:
    return moment.utcoffset() or timedelta()


def parse(text: str, zone: str | None = None) -> Schedule:
    """Read a schedule; ``CRON_TZ=`` or ``TZ=`` in it counts unless ``zone`` is given. Raises ScheduleError."""
    words = text.split()
    if words and words[0].partition("=")[0] in ("CRON_TZ", "TZ"):
        zone = zone or words[0].partition("=")[2]
        words = words[1:]
    where = _zone(zone)
    if len(words) == 2 and words[0] == "@every":
        return _every(words[1], where)
    if len(words) == 1 and words[0] in _NICKNAMES:
        words = _NICKNAMES[words[0]].split()
    if len(words) != 5:
        raise ScheduleError(f"expected 5 fields, found {len(words)}: {text}")
    minute, hour, day, month, weekday = words
    return Schedule(
        _field(minute, 0, 59),
        _field(hour, 0, 23),
        _field(day, 1, 31),
        _field(month, 1, 12, _MONTHS),
        frozenset(d % 7 for d in _field(weekday, 0, 7, _DAYS)),
        _is_any(day),
        _is_any(weekday),
        where,
    )


def _zone(name: str | None) -> tzinfo:
    if not name or name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ScheduleError(f"unknown time zone {name}") from error


def _every(text: str, zone: tzinfo) -> Schedule:
    seconds, number = 0.0, ""
    units = {"h": 3600, "m": 60, "s": 1}
    for char in text:
        if char in units and number:
            seconds, number = seconds + float(number) * units[char], ""
        else:
            number += char
    if number or seconds < 1:
        raise ScheduleError(f"not a duration: {text}")
    none: frozenset[int] = frozenset()
    return Schedule(none, none, none, none, none, True, True, zone, timedelta(seconds=seconds))


def _is_any(text: str) -> bool:
    return text.partition("/")[0] in ("*", "?")


def _field(text: str, low: int, high: int, names: dict[str, int] | None = None) -> frozenset[int]:
    return frozenset(n for part in text.split(",") for n in _part(part, low, high, names or {}))


def _part(text: str, low: int, high: int, names: dict[str, int]) -> range:
    span, _, step_text = text.partition("/")
    first_text, dash, last_text = span.partition("-")
    try:
        step = int(step_text) if step_text else 1
        if span in ("*", "?"):
            first, last = low, high
        else:
            first = _number(first_text, names)
            last = _number(last_text, names) if dash else high if step_text else first
    except ValueError as error:
        raise ScheduleError(f"not a number in {text}") from error
    if not (low <= first <= last <= high and step > 0):
        raise ScheduleError(f"{text} is out of {low}-{high}")
    return range(first, last + 1, step)


def _number(text: str, names: dict[str, int]) -> int:
    return names[text.lower()] if text.lower() in names else int(text)
