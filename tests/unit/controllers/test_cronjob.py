from datetime import UTC, datetime

import pytest

from kdist.controllers.cronjob.controller import due
from kdist.controllers.cronjob.schedule import ScheduleError, parse

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)  # a Thursday


@pytest.mark.parametrize(
    ("text", "following"),
    [
        ("*/15 * * * *", "2026-01-01T12:15"),
        ("0 0 1 * *", "2026-02-01T00:00"),
        ("30 8 * * mon-fri", "2026-01-02T08:30"),
        ("0 0 13 * 5", "2026-01-02T00:00"),  # the 13th or a Friday
        ("5 4 29 feb *", "2028-02-29T04:05"),
        ("@weekly", "2026-01-04T00:00"),
        ("0 0 * * 7", "2026-01-04T00:00"),
        ("@every 1h30m", "2026-01-01T13:30"),
        ("TZ=America/New_York 0 9 * * *", "2026-01-01T14:00"),
    ],
)
def test_the_next_firing(text: str, following: str) -> None:
    moment = parse(text).after(NOON)
    assert moment and moment.strftime("%Y-%m-%dT%H:%M") == following


def test_a_day_that_never_comes_has_no_firing() -> None:
    assert parse("0 0 30 2 *").after(NOON) is None


def test_the_hour_that_is_skipped_in_spring_fires_once_and_time_moves_on() -> None:
    schedule = parse("30 2 * * *", "Europe/Berlin")
    fires = list(schedule.between(datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)))
    assert len(fires) == 3
    assert fires == sorted(set(fires))


def test_the_hour_that_comes_twice_in_autumn_has_no_gap() -> None:
    schedule, moment = parse("*/30 * * * *", "Europe/Berlin"), datetime(2026, 10, 24, 23, 40, tzinfo=UTC)
    fired = []
    for _ in range(5):
        moment = schedule.after(moment) or moment
        fired.append(moment.strftime("%H:%M"))
    assert fired == ["00:00", "00:30", "01:00", "01:30", "02:00"]


@pytest.mark.parametrize(
    "text", ["", "* * * *", "60 * * * *", "a * * * *", "5-1 * * * *", "TZ=No/Where * * * * *"]
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError):
        parse(text)


def test_only_the_latest_of_several_missed_firings_counts() -> None:
    cron_job = {
        "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {},
        "status": {"lastScheduleTime": "2026-01-01T11:50:00Z"},
    }
    moment, missed = due(cron_job, parse("*/2 * * * *"), NOON)
    assert (moment, missed) == (NOON, 5)
    cron_job["status"] = {"lastScheduleTime": "2026-01-01T00:00:00Z"}
    moment, missed = due(cron_job, parse("* * * * *"), NOON)
    assert moment == NOON and missed > 100
