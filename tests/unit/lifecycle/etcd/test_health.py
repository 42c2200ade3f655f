"""What an operator is told about etcd, and the command that mends it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kdist.lifecycle.etcd.health import ended, judge

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MIB = 1 << 20


def endpoint(member: int, **more: Any) -> dict[str, Any]:
    known = {"cluster": 1, "version": "3.4.23", "revision": 50, "leader": 1, "term": 2, "committed": 60}
    known |= {"applied": 60, "size": 10 * MIB, "in_use": 9 * MIB, "learner": False, "errors": []}
    return {"member": member, **known, **more}


def member(number: int, *, learner: bool = False) -> dict[str, Any]:
    url = f"https://10.0.0.{number}:2379"
    return {"id": number, "name": f"cp{number}", "peer_urls": [], "learner": learner, "client_urls": [url]}


def seen(number: int, down: tuple[int, ...] = (), **more: Any) -> dict[str, Any]:
    endpoints = {str(n): None if n in down else endpoint(n) for n in (1, 2, 3)}
    snapshot = {"name": "20261121T110000Z-r40", "time": "2026-11-21T11:00:00Z"}
    return {
        "host": f"cp{number}",
        "has_data": True,
        "quota": 2048 * MIB,
        "disk_free": 10_000 * MIB,
        "members": [member(1), member(2), member(3)],
        "endpoints": endpoints,
        "alarms": [],
        "quorum": True,
        "error": "",
        "snapshots": {
            "directory": "/s",
            "last": {"succeeded": True, "error": ""},
            "list": [snapshot],
            "faults": [],
        },
        **more,
    }


def told(observations: dict[str, Any]) -> list[str]:
    return [f"{finding.text} -> {finding.remedy}" for finding in judge(observations, NOW).findings]


def all_three(**more: Any) -> dict[str, Any]:
    return {f"cp{n}": seen(n, **more) for n in (1, 2, 3)}


def test_a_healthy_cluster_has_nothing_to_mend() -> None:
    judged = judge(all_three(), NOW)
    assert judged.quorum and judged.findings == ()
    assert [(row.name, row.leader) for row in judged.rows] == [("cp1", True), ("cp2", False), ("cp3", False)]


def test_a_member_that_is_down_is_named() -> None:
    found = told({"cp1": seen(1, (3,)), "cp2": seen(2, (3,)), "cp3": None})
    assert any("cp3 could not be asked" in text for text in found)
    assert any("member cp3 does not run" in text for text in found)


def test_a_lost_quorum_is_told_with_the_command_that_recovers_it() -> None:
    alone = seen(1, (2, 3), quorum=False)
    alone["endpoints"]["1"]["leader"] = 0
    found = told({"cp1": alone, "cp2": None, "cp3": None})
    assert any("no quorum" in text and "recover --lost cp2,cp3" in text for text in found)


def test_without_a_quorum_though_enough_hosts_answer_nothing_is_given_up() -> None:
    stopped = {f"cp{n}": seen(n, (1, 2, 3), quorum=False) for n in (1, 2)} | {"cp3": None}
    found = told(stopped)
    assert any("enough hosts answer" in text for text in found)
    assert not any("recover" in text for text in found)


def test_a_full_database_is_told_with_the_command_that_mends_it() -> None:
    assert any("kdist etcd alarms --mend" in text for text in told(all_three(alarms=[[1, "NOSPACE"]])))


def test_free_pages_are_worth_a_defragmentation_when_they_are_many() -> None:
    wasteful = all_three()
    for one in wasteful.values():
        one["endpoints"]["2"] |= {"size": 400 * MIB, "in_use": 100 * MIB}
    assert told(wasteful) == ["300 MiB of member cp2's file are free pages -> kdist etcd defrag"]


def test_failed_and_old_snapshots_are_told_by_host() -> None:
    failed = all_three()
    failed["cp2"]["snapshots"]["last"] = {"succeeded": False, "error": "no room"}
    failed["cp3"]["snapshots"]["list"] = [{"name": "x", "time": "2026-11-18T11:00:00Z"}]
    found = told(failed)
    assert any("last snapshot on cp2 failed: no room" in text for text in found)
    assert any("newest snapshot on cp3 is 3 days old" in text for text in found)


def test_a_host_whose_membership_ended_is_told_how_to_come_back() -> None:
    observations = {"cp1": seen(1), "cp9": seen(9, quorum=False, members=[], endpoints={})}
    assert any("kdist etcd rejoin cp9" in text for text in told(observations))
    judged = judge(observations, NOW)
    assert ended(judged.rows, judged.quorum, observations) == ["cp9"]


def test_a_learner_and_a_disk_that_fills_are_told() -> None:
    joining = all_three(disk_free=100 * MIB)
    for one in joining.values():
        one["members"] = [member(1), member(2), member(3, learner=True)]
    found = told(joining)
    assert any("cp3 is a learner" in text for text in found)
    assert any("cp1 has 100 MiB free" in text for text in found)


def test_without_any_etcd_the_reason_of_each_host_is_told() -> None:
    nothing = {"cp1": seen(1, members=[], endpoints={}, quorum=False, error="connection refused")}
    assert any("cp1: connection refused" in text for text in told(nothing))
