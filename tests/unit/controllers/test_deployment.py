"""Rolling updates, checked by walking them: whatever happens to pods, the two promises hold at each step."""

from copy import deepcopy
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdist.controllers.deployment import plan, revisions, status

Obj = dict[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def deployment(replicas: int = 4, surge: Any = "25%", unavailable: Any = "25%", **spec: Any) -> Obj:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {
        "metadata": {"name": "d", "namespace": "ns", "uid": "d", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"image": "1"}]}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
            "progressDeadlineSeconds": 600,
            **spec,
        },
    }


def replica_set(name: str, size: int, available: int | None = None, **annotations: str) -> Obj:
    ready = size if available is None else available
    return {
        "metadata": {"name": name, "uid": name, "creationTimestamp": name, "annotations": annotations},
        "spec": {"replicas": size, "template": {"spec": {"containers": [{"image": name}]}}},
        "status": {"replicas": size, "availableReplicas": ready},
    }


@given(
    replicas=st.integers(1, 12),
    surge=st.one_of(st.integers(0, 4), st.sampled_from(["0%", "25%", "100%"])),
    unavailable=st.one_of(st.integers(0, 4), st.sampled_from(["0%", "25%", "100%"])),
    olds=st.lists(st.integers(0, 6), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
)
def test_a_rollout_ends_and_never_breaks_its_limits(
    replicas: int, surge: Any, unavailable: Any, olds: list[int], seed: int
) -> None:
    chance = Random(seed)
    limit = plan.limits(deployment(replicas, surge, unavailable))
    sets = [replica_set(str(n), size) for n, size in enumerate(olds)]
    new = replica_set("9", 0)
    most = max(limit.most, sum(olds))
    least = min(limit.least, sum(olds))
    for _ in range(500):
        sizes = plan.rolling_step(limit, new, sets)
        for s in [new, *sets]:
            s["spec"]["replicas"] = sizes.get(s["metadata"]["uid"], s["spec"]["replicas"])
            s["status"]["availableReplicas"] = min(plan.available(s), plan.size(s))
        assert plan.total([new, *sets]) <= most
        assert sum(map(plan.available, [new, *sets])) >= least
        if chance.random() < 0.7 and plan.available(new) < plan.size(new):
            new["status"]["availableReplicas"] += 1
    assert (plan.size(new), plan.total(sets)) == (replicas, 0)


def test_pods_that_serve_nobody_go_first() -> None:
    limit = plan.limits(deployment(4, surge=0, unavailable=1))
    broken, fine = replica_set("1", 2, available=0), replica_set("2", 2)
    sizes = plan.rolling_step(limit, replica_set("9", 0), [broken, fine])
    assert sizes == {"1": 1}


def test_scaling_in_the_middle_of_a_rollout_is_shared_in_proportion() -> None:
    d = deployment(20, surge=3, unavailable=2)
    told = {revisions.DESIRED: "10", revisions.MAX: "13"}
    old, new = replica_set("1", 8, **told), replica_set("2", 5, available=1, **told)
    assert plan.needs_scaling(d, [old, new])
    sizes = plan.scaling_step(d, plan.limits(d), new, [old])
    assert sizes == {"1": 14, "2": 9}, "23 pods in all, as 8 to 5"


def test_an_old_template_that_comes_back_is_the_same_replica_set_with_a_new_number() -> None:
    d = deployment()
    made = revisions.make(d, 1, 0, 1)
    later = revisions.make({**d, "spec": {**d["spec"], "template": {"spec": {"x": 1}}}}, 2, 4, 1)
    assert revisions.find_new(d, [later, made]) is made
    annotations = revisions.annotated(d, made, revisions.next_revision([later]))
    assert annotations[revisions.REVISION] == "3"
    assert annotations[revisions.REVISION_HISTORY] == "1"


def test_the_hash_depends_on_the_template_and_the_collision_count_only() -> None:
    d = deployment()
    name = revisions.make(d, 1, 0, 1)["metadata"]["name"]
    assert (
        revisions.make({**deepcopy(d), "metadata": {**d["metadata"], "labels": {}}}, 7, 3, 0)["metadata"][
            "name"
        ]
        == name
    )
    assert revisions.make({**d, "status": {"collisionCount": 1}}, 1, 0, 1)["metadata"]["name"] != name


@pytest.mark.parametrize(
    ("ready", "since", "value", "reason"),
    [
        (4, "2026-01-01T00:00:00Z", "True", "NewReplicaSetAvailable"),
        (2, "2025-12-31T23:59:00Z", "True", "ReplicaSetUpdated"),
        (1, "2025-12-31T23:49:00Z", "False", "ProgressDeadlineExceeded"),
    ],
)
def test_progress_is_judged_against_the_deadline(ready: int, since: str, value: str, reason: str) -> None:
    d = deployment()
    condition = {
        "type": "Progressing",
        "status": "True",
        "reason": "ReplicaSetUpdated",
        "lastUpdateTime": since,
    }
    d["status"] = {"replicas": 4, "updatedReplicas": 4, "availableReplicas": 1, "conditions": [condition]}
    new = replica_set("1", 4, available=ready)
    told = status.rollout(d, new, [new], NOW)
    progressing = status.get_condition(told, "Progressing")
    assert progressing and (progressing["status"], progressing["reason"]) == (value, reason)
