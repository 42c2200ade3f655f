"""Old snapshots go, and never all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kdist.lifecycle.etcd.retention import forgotten, surplus
from kdist.lifecycle.etcd.snapshots import Manifest

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def snapshot(hours: float, reason: str = "schedule") -> Manifest:
    taken = NOW - timedelta(hours=hours)
    return Manifest(
        cluster="kdist",
        host="cp1",
        reason=reason,
        time=taken.strftime("%Y-%m-%dT%H:%M:%SZ"),
        revision=1000 - int(hours),
        keys=1,
        size=1,
        etcd="3.4.23",
        kdist="0.1.0",
        api_level="1.32",
        files={},
    )


def test_the_newest_stay_up_to_the_count() -> None:
    found = [snapshot(hours) for hours in range(5)]
    assert surplus(found, NOW, keep=3, max_age_days=0) == [found[3], found[4]]


def test_what_is_older_than_the_limit_goes() -> None:
    young, old = snapshot(1), snapshot(49)
    assert surplus([old, young], NOW, keep=10, max_age_days=2) == [old]


def test_the_newest_stays_however_old_it_is() -> None:
    old, older = snapshot(1000), snapshot(2000)
    assert surplus([old, older], NOW, keep=10, max_age_days=1) == [older]


def test_a_snapshot_before_an_upgrade_is_not_pushed_out_by_scheduled_ones() -> None:
    upgrade = snapshot(10, "upgrade")
    scheduled = [snapshot(hours) for hours in range(5)]
    assert upgrade not in surplus([*scheduled, upgrade], NOW, keep=2, max_age_days=30)


def aside(*hours: float) -> dict[str, datetime]:
    return {f"member.ended-{age}": NOW - timedelta(hours=age) for age in hours}


def test_of_data_that_was_put_aside_only_the_newest_stays() -> None:
    assert forgotten(aside(100, 0, 50), NOW) == ["member.ended-100", "member.ended-50"]


def test_what_there_was_before_an_operation_that_was_run_again_and_again_stays() -> None:
    assert forgotten(aside(3, 2, 1, 0), NOW) == ["member.ended-2", "member.ended-1"]


def test_the_only_data_that_was_put_aside_stays_however_old_it_is() -> None:
    assert forgotten(aside(5000), NOW) == []
    assert forgotten({}, NOW) == []
