from datetime import UTC, datetime
from typing import Any

from kdist.api import meta
from kdist.controllers.statefulset import identity, plan
from tests.unit.controllers.builders import pod

Obj = dict[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def stateful_set(replicas: int = 3, **spec: Any) -> Obj:
    template = {"metadata": {"name": "data"}, "spec": {}}
    return {
        "metadata": {"name": "db", "namespace": "ns", "uid": "db", "generation": 1},
        "spec": {"replicas": replicas, "serviceName": "db", "volumeClaimTemplates": [template], **spec},
    }


def member(number: int, revision: str = "v1", **more: Any) -> Obj:
    name = f"db-{number}"
    labels = {"controller-revision-hash": revision, identity.POD_NAME: name}
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": f"data-{name}"}}]
    return pod(name, labels=labels, spec={"volumes": volumes}, **more)


def step(s: Obj, pods: list[Obj], update: str = "v1") -> plan.Plan:
    return plan.next_step(s, pods, "v1", update, NOW)


def names(pods: list[Obj]) -> list[str]:
    return [meta.name(p) for p in pods]


def test_pods_come_one_after_another_once_their_predecessors_are_ready() -> None:
    s = stateful_set()
    assert step(s, []).create == [(0, "v1")]
    assert step(s, [member(0, ready=False)]).create == []
    assert step(s, [member(0)]).create == [(1, "v1")]


def test_parallel_pods_come_and_go_at_once() -> None:
    s = stateful_set(podManagementPolicy="Parallel")
    assert step(s, []).create == [(0, "v1"), (1, "v1"), (2, "v1")]
    s["spec"]["replicas"] = 1
    assert names(step(s, [member(n) for n in range(3)]).delete) == ["db-2", "db-1"]


def test_scaling_down_takes_the_last_and_waits_while_one_that_stays_is_sick() -> None:
    s = stateful_set(1)
    assert names(step(s, [member(n) for n in range(3)]).delete) == ["db-2"]
    assert step(s, [member(0), member(1), member(2, deleting=True)]).delete == []
    assert step(s, [member(0, ready=False), member(1)]).delete == []


def test_scaling_down_halts_at_a_sick_pod_unless_it_is_the_first_sick_one() -> None:
    s = stateful_set(0)
    assert step(s, [member(n, ready=False) for n in range(3)]).delete == []
    assert names(step(s, [member(0), member(1), member(2, ready=False)]).delete) == ["db-2"]
    assert names(step(s, [member(0, ready=False), member(1)]).delete) == ["db-1"]


def test_an_update_goes_down_to_the_partition_one_at_a_time() -> None:
    s = stateful_set(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 1}})
    assert names(step(s, [member(0), member(1), member(2)], "v2").delete) == ["db-2"]
    assert step(s, [member(0), member(1), member(2, "v2", ready=False)], "v2").delete == []
    assert names(step(s, [member(0), member(1), member(2, "v2")], "v2").delete) == ["db-1"]
    assert step(s, [member(0), member(1, "v2"), member(2, "v2")], "v2").delete == []
    assert step(s, [], "v2").create == [(0, "v1")], "below the partition the old template stays"


def test_failed_pods_are_replaced() -> None:
    assert names(step(stateful_set(), [member(0, phase="Failed")]).delete) == ["db-0"]


def test_the_new_revision_becomes_current_when_all_pods_have_it() -> None:
    s, pods = stateful_set(), [member(n, "v2") for n in range(3)]
    told = plan.status(s, pods, "v1", "v2", NOW)
    assert (told["currentRevision"], told["currentReplicas"]) == ("v2", 3)
    told = plan.status(s, [*pods[:2], member(2)], "v1", "v2", NOW)
    assert (told["currentRevision"], told["currentReplicas"], told["updatedReplicas"]) == ("v1", 1, 2)


def test_claims_go_with_what_the_retention_policy_says() -> None:
    s = stateful_set(persistentVolumeClaimRetentionPolicy={"whenScaled": "Delete", "whenDeleted": "Retain"})
    (claim,) = identity.claims(s, "db-2")
    owners = identity.claim_owners(s, claim, member(2), condemned=True)
    assert owners and owners[0]["uid"] == "uid-db-2"
    assert identity.claim_owners(s, claim, member(2), condemned=False) is None
