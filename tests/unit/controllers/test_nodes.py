"""Node lifecycle, eviction, address ranges and daemons."""

from datetime import UTC, datetime
from typing import Any

import pytest

from kdist.api import meta
from kdist.controllers.daemonset import plan as daemons
from kdist.controllers.nodeipam.plan import RangeExhausted, Ranges, missing, ranges
from kdist.controllers.nodelifecycle import plan
from kdist.controllers.nodelifecycle.eviction import patience
from tests.unit.controllers.builders import pod

Obj = dict[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RATES = plan.Rates(0.1, 0.01, 0.55, 3)


def node(name: str, ready: str = "True", zone: str = "", taints: list[Obj] | None = None) -> Obj:
    return {
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
        "spec": {"taints": taints or []},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def test_a_silent_node_is_unknown_in_all_it_reports() -> None:
    body = plan.silenced(node("a"), "t")
    assert body
    conditions = {c["type"]: c["status"] for c in body["status"]["conditions"]}
    assert conditions == dict.fromkeys(("Ready", "MemoryPressure", "DiskPressure", "PIDPressure"), "Unknown")
    silent = node("a")
    silent["status"] = body["status"]
    assert plan.silenced(silent, "t") is None


def test_taints_follow_conditions_and_leave_others_alone() -> None:
    mine = {"key": "mine", "effect": "NoExecute"}
    sick = node("a", "Unknown", taints=[mine])
    changed = plan.taints(sick, plan.no_schedule(sick), plan.no_execute(sick), "t")
    assert changed and [(t["key"], t["effect"]) for t in changed] == [
        ("mine", "NoExecute"),
        (plan.UNREACHABLE, "NoExecute"),
        (plan.UNREACHABLE, "NoSchedule"),
    ]
    well = node("a", taints=changed)
    assert plan.taints(well, plan.no_schedule(well), plan.no_execute(well), "t") == [mine]


def test_when_no_node_is_ready_the_fault_is_here() -> None:
    dead = [node("a", "Unknown", "z1"), node("b", "Unknown", "z2")]
    assert plan.eviction_rates(dead, RATES) == {":z1": 0.0, ":z2": 0.0}
    assert plan.eviction_rates([*dead, node("c", zone="z2")], RATES) == {":z1": 0.1, ":z2": 0.1}


def test_an_unhealthy_zone_slows_down_or_stops_by_its_size() -> None:
    small = [node(f"n{n}", "Unknown" if n else "True", "z") for n in range(3)]
    assert plan.eviction_rates(small, RATES) == {":z": 0.1}, "two nodes are not a pattern"
    large = [node(f"n{n}", "Unknown" if n else "True", "z") for n in range(5)]
    assert plan.eviction_rates(large, RATES) == {":z": 0.01}
    assert plan.eviction_rates(large, plan.Rates(0.1, 0.01, 0.55, 50)) == {":z": 0.0}


def test_a_zone_gives_up_one_node_in_ten_seconds() -> None:
    limiter = plan.ZoneLimiter()
    admitted = [limiter.admit("z", 0.1, now) for now in (0, 5, 10, 10)]
    assert admitted == [True, False, True, False]
    assert not limiter.admit("y", 0.0, 99)


@pytest.mark.parametrize(
    ("tolerations", "seconds"),
    [
        ([], 0),
        ([{"key": "a", "operator": "Exists"}], 0),
        ([{"operator": "Exists"}], None),
        (
            [
                {"operator": "Exists", "tolerationSeconds": 300},
                {"key": "a", "operator": "Exists", "tolerationSeconds": 5},
            ],
            5,
        ),
    ],
)
def test_patience_is_the_shortest_toleration_that_is_used(
    tolerations: list[Obj], seconds: float | None
) -> None:
    taints = [{"key": "a", "effect": "NoExecute"}, {"key": "b", "effect": "NoExecute"}]
    assert patience(tolerations, taints) == seconds


def test_node_ranges_do_not_overlap_and_the_one_just_freed_rests() -> None:
    ranges = Ranges("10.0.0.0/22", 24)
    assert ranges.occupy("10.0.1.0/24", "old") == "old"
    assert [ranges.allocate(n) for n in "abc"] == ["10.0.0.0/24", "10.0.2.0/24", "10.0.3.0/24"]
    with pytest.raises(RangeExhausted):
        ranges.allocate("d")
    ranges.release("old")
    assert ranges.allocate("d") == "10.0.1.0/24"


def daemon_set(**spec: Any) -> Obj:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}
    rolling = {"maxUnavailable": 1, "maxSurge": 0}
    update = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return {
        "metadata": {"name": "d", "namespace": "ns", "uid": "d"},
        "spec": {"template": template, "updateStrategy": update, **spec},
    }


def daemon(name: str, on: str, revision: str = "v1", **more: Any) -> Obj:
    return pod(name, node=on, labels={"controller-revision-hash": revision}, **more)


def test_daemons_run_where_taints_allow_and_stay_where_others_leave() -> None:
    unreachable = [
        {"key": plan.UNREACHABLE, "effect": "NoExecute"},
        {"key": plan.UNSCHEDULABLE, "effect": "NoSchedule"},
    ]
    assert daemons.fit(daemon_set(), node("a", taints=unreachable)).should_run
    foreign = daemons.fit(daemon_set(), node("a", taints=[{"key": "x", "effect": "NoSchedule"}]))
    assert (foreign.should_run, foreign.should_continue) == (False, True)


def test_a_daemon_pod_can_go_to_its_node_only() -> None:
    made = daemons.pod(daemon_set(), "n1", "v1")
    assert daemons.node_of(made) == "n1"


def test_each_node_gets_one_daemon_and_vanished_places_are_cleared() -> None:
    nodes = [node("a"), node("b"), node("c", taints=[{"key": "x", "effect": "NoExecute"}])]
    pods = daemons.by_node(
        [daemon("a1", "a"), daemon("a2", "a", created="2026-01-02T00:00:00Z"), daemon("c1", "c")]
    )
    todo = daemons.manage(daemon_set(), nodes, pods, surge=False)
    assert (todo.create, sorted(meta.name(p) for p in todo.delete)) == (["b"], ["a2", "c1"])


def test_a_daemon_update_replaces_one_node_at_a_time_and_broken_ones_at_once() -> None:
    nodes = [node(n) for n in "abc"]
    fine = [daemon("a1", "a"), daemon("b1", "b"), daemon("c1", "c")]
    todo = daemons.roll(daemon_set(), nodes, daemons.by_node(fine), "v2", NOW)
    assert len(todo.delete) == 1
    one_new = [daemon("a2", "a", "v2", ready=False), *fine[1:]]
    assert daemons.roll(daemon_set(), nodes, daemons.by_node(one_new), "v2", NOW).delete == []
    broken = [daemon("a1", "a", ready=False), *fine[1:]]
    todo = daemons.roll(daemon_set(), nodes, daemons.by_node(broken), "v2", NOW)
    assert [meta.name(p) for p in todo.delete] == ["a1"]


def test_a_node_gets_what_it_lacks_of_the_clusters_families() -> None:
    both = ranges(["10.244.0.0/16", "fd00:244::/56"], 24, 64)
    assert missing(both, []) == both
    assert missing(both, ["10.244.3.0/24"]) == both[1:]
    assert missing(both, ["10.244.3.0/24", "fd00:244:0:3::/64"]) == []
    assert missing(both[:1], ["10.244.3.0/24"]) == []
    assert missing(both, ["fd00:244:0:3::/64"]) == []
    assert both[1].allocate("a") == "fd00:244::/64"
    assert both[1].allocate("b") == "fd00:244:0:1::/64"
