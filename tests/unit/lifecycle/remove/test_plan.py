"""Which hosts may leave, in which order, and what goes with them."""

from __future__ import annotations

from typing import Any

import pytest

from kdist.lifecycle.etcd.members import Member
from kdist.lifecycle.remove import plan
from kdist.lifecycle.remove.plan import Belongings, Leaving, Pod, Volume


def members(count: int, learner: bool = False) -> tuple[Member, ...]:
    voters = [Member(n, f"cp{n}", (f"https://10.0.0.{n}:2380",)) for n in range(1, count + 1)]
    extra = [Member(9, "", ("https://10.0.0.9:2380",), learner=True)] if learner else []
    return (*voters, *extra)


def plane(number: int, *, up: bool = True) -> Leaving:
    return Leaving(f"cp{number}", f"10.0.0.{number}", True, up, up)


WORKER = Leaving("w1", "10.0.0.20", False, True, True)


@pytest.mark.parametrize(
    ("leaving", "count", "healthy"),
    [
        ((3,), 3, {1, 2, 3}),
        ((3,), 3, {1, 2}),
        ((2,), 2, {1, 2}),
        ((4, 5), 5, {1, 2, 3}),
        ((1, 2), 5, {1, 2, 3, 4, 5}),
    ],
)
def test_control_planes_leave_while_a_majority_of_the_others_answers(
    leaving: tuple[int, ...], count: int, healthy: set[int]
) -> None:
    staying = [f"cp{n}" for n in range(1, count + 1) if n not in leaving]
    assert plan.refusals([plane(n) for n in leaving], staying, members(count), healthy) == []


def test_one_that_answers_may_not_leave_one_that_does_not() -> None:
    (told,) = plan.refusals([plane(2)], ["cp1", "cp3"], members(3), {1, 2})
    assert told == (
        "without cp2 etcd would lose its quorum: cp3 does not answer, and 2 of the remaining 2 must; "
        "start cp3, or remove it instead"
    )


def test_without_a_quorum_nobody_leaves() -> None:
    (told,) = plan.refusals([plane(3, up=False)], ["cp1", "cp2"], members(3), {1})
    assert told.startswith("etcd has no quorum (1 of 3 members answer)")
    assert "start cp2, cp3 first" in told


def test_the_last_control_plane_stays() -> None:
    (told,) = plan.refusals([plane(1)], [], members(1), {1})
    assert "kdist reset" in told


def test_learners_have_no_voice() -> None:
    assert plan.refusals([plane(3)], ["cp1", "cp2"], members(3, learner=True), {1, 2, 3}) == []
    assert plan.refusals([WORKER], ["cp1"], (), set()) == []


def test_a_host_that_never_started_its_etcd_is_known_by_its_address() -> None:
    assert plan.member_of("cp4", "10.0.0.9", members(3, learner=True)) == members(3, learner=True)[-1]
    assert plan.member_of("cp4", "10.0.0.4", members(3)) is None


def test_dead_control_planes_leave_before_living_ones_and_workers_before_both() -> None:
    order = plan.in_order([plane(1), plane(2, up=False), WORKER], members(3), {1, 3})
    assert [host.name for host in order] == ["w1", "cp2", "cp1"]


def node(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}}


def pod(name: str, on: str, owner: str = "", claim: str = "", **metadata: Any) -> dict[str, Any]:
    kind, _, of = owner.partition("/")
    refs = [{"kind": kind, "name": of, "controller": True}] if owner else []
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}] if claim else []
    about = {"name": name, "namespace": "d", "ownerReferences": refs, **metadata}
    return {"metadata": about, "spec": {"nodeName": on, "volumes": volumes}}


def volume(name: str, claim: str, *nodes: str) -> dict[str, Any]:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": list(nodes)}]}
    return {
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "claimRef": {"namespace": "d", "name": claim},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
        },
    }


def test_what_is_bound_to_a_host_is_found() -> None:
    found = plan.belongings(
        "w1",
        [
            pod("web", "w1", "ReplicaSet/web"),
            pod("db-0", "w1", "StatefulSet/db", claim="data"),
            pod("bare", "w1"),
            pod("proxy", "w1", "DaemonSet/kube-proxy"),
            pod("etcd", "w1", annotations={"kubernetes.io/config.mirror": "x"}),
            pod("elsewhere", "w2", "ReplicaSet/web"),
        ],
        [
            volume("pv1", "data", "w1"),
            volume("pv2", "shared", "w1", "w2"),
            {"metadata": {"name": "pv3"}, "spec": {}},
        ],
        [{"metadata": {"name": "va1"}, "spec": {"nodeName": "w1"}}],
        {"csr-1": "w1", "csr-2": "w2"},
        [node("w1"), node("w2")],
    )
    assert found == Belongings(
        (Pod("d/web", "ReplicaSet web"), Pod("d/db-0", "StatefulSet db"), Pod("d/bare", "")),
        (Volume("pv1", "d/data", "1Gi", ("d/db-0",)),),
        ("va1",),
        ("csr-1",),
    )


def test_the_operator_is_told_what_moves_and_what_is_lost() -> None:
    bound = Belongings(
        (Pod("d/web", "ReplicaSet web"), Pod("d/bare", "")), (Volume("pv1", "d/data", "1Gi", ("d/db-0",)),)
    )
    assert plan.report(WORKER, bound) == [
        "1 pod is evicted and made again elsewhere by the controllers",
        "pod d/bare has no controller: it is lost",
        "volume pv1 (1Gi) of claim d/data, used by d/db-0 is on this host only: its data is lost; "
        "delete the claim to get an empty volume elsewhere, and the volume",
    ]
    assert plan.report(WORKER, Belongings()) == []


def test_a_silent_host_is_told_with_what_stays_on_it() -> None:
    (told,) = plan.report(Leaving("w1", "10.0.0.20", False, False, False), Belongings())
    assert told.startswith("does not answer over ssh: nothing on the host is changed")
    (told,) = plan.report(Leaving("w1", "10.0.0.20", False, False, True), Belongings())
    assert "its agent was alive a moment ago; nothing on the host is changed" in told
