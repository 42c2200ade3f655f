"""Limits, borrowing, classification, sharding and the kept objects."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kdist.api import meta
from kdist.apiserver import requestinfo
from kdist.apiserver.authn.user import ANONYMOUS, User
from kdist.apiserver.flowcontrol import defaults
from kdist.apiserver.flowcontrol.allocation import Claim, Limits, Shares, divide, limits
from kdist.apiserver.flowcontrol.dropped import Dropped
from kdist.apiserver.flowcontrol.levels import Levels
from kdist.apiserver.flowcontrol.maintenance import dangling, revised
from kdist.apiserver.flowcontrol.queueset import QueueSet
from kdist.apiserver.flowcontrol.sharding import deal, flow_hash

Obj = dict[str, Any]
ALL_LEVELS = defaults.MANDATORY_LEVELS + defaults.SUGGESTED_LEVELS
ALL_SCHEMAS = defaults.MANDATORY_SCHEMAS + defaults.SUGGESTED_SCHEMAS


def levels(total: int = 600) -> Levels:
    made = Levels(total, lambda: QueueSet(lambda: 0.0, lambda *_: None))
    made.configure(ALL_LEVELS, ALL_SCHEMAS)
    return made


def test_nominal_limits_are_upstreams_for_the_default_flags() -> None:
    nominal = {name: level.limits.nominal for name, level in levels().levels.items()}
    assert nominal == {
        "exempt": 0,
        "catch-all": 13,
        "system": 74,
        "node-high": 98,
        "leader-election": 25,
        "workload-high": 98,
        "workload-low": 245,
        "global-default": 49,
    }


def test_a_level_lends_and_borrows_within_its_percentages() -> None:
    made = limits(100, {"a": Shares(1, lendable=40, borrowing=10), "b": Shares(1)})
    assert made == {"a": Limits(50, 30, 55), "b": Limits(50, 50, 150)}


def test_seats_move_to_where_they_are_wanted() -> None:
    idle, busy = Limits(50, 10, 100), Limits(50, 50, 150)
    current, _ = divide({"idle": Claim(idle, 0.0, 0), "busy": Claim(busy, 200.0, 200)})
    assert current == {"idle": 10, "busy": 90}


def test_a_level_gets_back_what_it_lent_when_it_needs_it() -> None:
    lender, borrower = Limits(50, 10, 100), Limits(50, 50, 150)
    current, _ = divide({"lender": Claim(lender, 60.0, 60), "borrower": Claim(borrower, 200.0, 200)})
    assert current["lender"] >= 50 - 1
    assert sum(current.values()) == 100


def test_all_seats_are_handed_out_when_nobody_wants_any() -> None:
    made = levels()
    made.rebalance()
    assert abs(sum(level.current for level in made.levels.values()) - 602) <= 3


@pytest.mark.parametrize(
    ("user", "method", "path", "schema", "level"),
    [
        (User("a", groups=("system:masters",)), "GET", "/api/v1/pods", "exempt", "exempt"),
        (ANONYMOUS, "GET", "/healthz", "probes", "exempt"),
        (ANONYMOUS, "GET", "/livez/ping", "probes", "exempt"),
        (
            User("system:node:n", groups=("system:nodes", "system:authenticated")),
            "PATCH",
            "/api/v1/nodes/n/status",
            "system-node-high",
            "node-high",
        ),
        (
            User("system:node:n", groups=("system:nodes", "system:authenticated")),
            "GET",
            "/api/v1/pods",
            "system-nodes",
            "system",
        ),
        (
            User("system:kube-scheduler", groups=("system:authenticated",)),
            "PUT",
            "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/s",
            "system-leader-election",
            "leader-election",
        ),
        (
            User("system:kube-controller-manager", groups=("system:authenticated",)),
            "GET",
            "/api/v1/pods",
            "kube-controller-manager",
            "workload-high",
        ),
        (
            User(
                "system:serviceaccount:x:y",
                groups=("system:serviceaccounts", "system:authenticated"),
            ),
            "GET",
            "/api/v1/pods",
            "service-accounts",
            "workload-low",
        ),
        (
            User("alice", groups=("system:authenticated",)),
            "GET",
            "/api/v1/pods",
            "global-default",
            "global-default",
        ),
        (User("nobody"), "GET", "/api/v1/pods", "catch-all", "catch-all"),
    ],
)
def test_requests_are_classified_as_upstream_does(
    user: User, method: str, path: str, schema: str, level: str
) -> None:
    info, _ = requestinfo.read(method, path, b"")
    flow = levels().classify(user, info)
    assert (flow.schema, flow.level.name) == (schema, level)


def test_a_broken_level_is_left_out_and_its_schemas_fall_through() -> None:
    broken = copy.deepcopy(defaults.SUGGESTED_LEVELS[-1])
    broken["spec"]["limited"]["limitResponse"] = {"type": "Queue"}
    made = Levels(600, lambda: QueueSet(lambda: 0.0, lambda *_: None))
    made.configure([broken], ALL_SCHEMAS)
    info, _ = requestinfo.read("GET", "/api/v1/pods", b"")
    assert set(made.levels) == {"exempt", "catch-all"}
    assert made.classify(User("a", groups=("system:authenticated",)), info).schema == "catch-all"


def test_a_deleted_level_goes_when_it_is_idle() -> None:
    made = levels()
    info, _ = requestinfo.read("GET", "/api/v1/pods", b"")
    flow = made.classify(User("alice", groups=("system:authenticated",)), info)
    from kdist.apiserver.flowcontrol.queueset import ONE_SEAT

    ticket = flow.level.queues.arrive(ONE_SEAT, flow.hand, flow.stats)
    made.configure(defaults.MANDATORY_LEVELS, defaults.MANDATORY_SCHEMAS)
    assert made.levels["global-default"].quiescing
    flow.level.queues.finish(ticket)
    made.reap()
    assert set(made.levels) == {"exempt", "catch-all"}


def test_a_hand_has_different_cards_and_all_cards_are_dealt() -> None:
    hands = [deal(flow_hash("s", str(n)), 16, 4) for n in range(500)]
    assert all(len(set(hand)) == 4 for hand in hands)
    assert {card for hand in hands for card in hand} == set(range(16))


def test_retry_after_grows_under_lasting_overload_and_shrinks_after_it() -> None:
    dropped = Dropped()
    told = [dropped.record(second) for second in range(1, 60) for _ in range(200)]
    assert told[0] == 1
    assert max(told) == 32
    assert dropped.record(500) <= 31


# ----- kept objects


def stored(wanted: Obj, **changes: Any) -> Obj:
    obj = copy.deepcopy(wanted)
    obj["metadata"] |= {"generation": 1, "uid": "u", **changes.pop("metadata", {})}
    obj["spec"] |= changes
    return obj


SCHEMA = defaults.SUGGESTED_SCHEMAS[-1]


@pytest.mark.parametrize(
    ("annotation", "generation", "restored", "said"),
    [
        ("true", 2, True, "true"),
        ("false", 2, False, None),
        (None, 1, True, "true"),
        (None, 2, False, "false"),
        ("maybe", 2, False, "false"),
    ],
)
def test_a_suggested_object_is_kept_as_its_annotation_says(
    annotation: str | None, generation: int, restored: bool, said: str | None
) -> None:
    annotations = {} if annotation is None else {defaults.AUTOUPDATE: annotation}
    metadata = {"annotations": annotations, "generation": generation}
    new = revised(stored(SCHEMA, matchingPrecedence=77, metadata=metadata), SCHEMA, mandatory=False)
    assert (new is not None and new["spec"] == SCHEMA["spec"]) == restored
    assert (new and meta.annotations(new)[defaults.AUTOUPDATE]) == said


def test_a_mandatory_object_is_always_restored() -> None:
    wanted = defaults.MANDATORY_SCHEMAS[1]
    metadata = {"annotations": {defaults.AUTOUPDATE: "false"}}
    new = revised(stored(wanted, matchingPrecedence=9, metadata=metadata), wanted, mandatory=True)
    assert new is not None
    assert new["spec"] == wanted["spec"]


def test_what_is_as_it_should_be_is_not_written() -> None:
    assert revised(stored(SCHEMA), SCHEMA, mandatory=False) is None


def test_a_schema_without_its_level_dangles() -> None:
    new = dangling(stored(SCHEMA), {"other"}, "2026-01-01T00:00:00Z")
    assert new is not None
    condition = new["status"]["conditions"][0]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Dangling", "True", "NotFound")
    assert dangling(new, {"other"}, "2027-01-01T00:00:00Z") is None
