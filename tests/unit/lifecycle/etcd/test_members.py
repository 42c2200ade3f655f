"""How a control plane comes to etcd: never a second cluster, never a lost quorum."""

from __future__ import annotations

import pytest

from kdist.lifecycle.etcd.members import Degraded, Member, NoQuorum, Plan, Step, initial_cluster, joined, plan

CP1 = Member(1, "cp1", ("https://10.0.0.1:2380",))
CP2 = Member(2, "cp2", ("https://10.0.0.2:2380",))


def step(
    *, has_data: bool = False, members: list[Member] | None = None, others: tuple[str, ...] = ()
) -> Plan:
    return plan("cp2", "10.0.0.2", has_data=has_data, members=members, others_with_data=others)


def test_hosts_without_any_data_form_the_cluster_together() -> None:
    assert step().step is Step.FORM


def test_a_member_with_its_data_stays_one_whether_or_not_others_answer() -> None:
    assert step(has_data=True).step is Step.KEEP
    assert step(has_data=True, members=[CP1, CP2]).step is Step.KEEP


def test_a_new_host_is_added_to_the_cluster_that_is_there() -> None:
    assert step(members=[CP1], others=("cp1",)).step is Step.ADD


def test_a_host_that_was_added_but_never_started_just_starts() -> None:
    unstarted = Member(2, "", ("https://10.0.0.2:2380",), learner=True)
    assert step(members=[CP1, unstarted]).step is Step.START


def test_a_rebuilt_host_replaces_its_old_membership() -> None:
    assert step(members=[CP1, CP2], others=("cp1",)) == Plan(Step.REPLACE, CP2)


def test_data_of_an_ended_membership_is_set_aside() -> None:
    assert step(has_data=True, members=[CP1]).step is Step.SET_ASIDE


def test_a_host_without_data_beside_data_without_quorum_is_refused() -> None:
    with pytest.raises(NoQuorum, match="cp1 may hold etcd data, but etcd does not answer"):
        step(others=("cp1",))


def test_the_initial_cluster_of_a_joining_host_names_who_has_started_and_itself() -> None:
    unstarted = Member(3, "", ("https://10.0.0.2:2380",), learner=True)
    assert (
        joined([CP1, unstarted], "cp2", "10.0.0.2") == "cp1=https://10.0.0.1:2380,cp2=https://10.0.0.2:2380"
    )
    assert initial_cluster({"a": "fd00::1"}) == "a=https://[fd00::1]:2380"


CP3 = Member(3, "cp3", ("https://10.0.0.3:2380",))


def test_nobody_is_added_while_a_member_is_down() -> None:
    with pytest.raises(
        Degraded, match=r"etcd of cp3 does not answer, and cp2 would be member 3 .*kdist remove cp3"
    ):
        plan("cp2", "10.0.0.2", has_data=False, members=[CP1, CP3], others_with_data=(), silent=[3])


def test_a_rebuilt_host_is_not_in_its_own_way() -> None:
    found = plan("cp2", "10.0.0.2", has_data=False, members=[CP1, CP2, CP3], others_with_data=(), silent=[2])
    assert found == Plan(Step.REPLACE, CP2)


def test_a_member_with_its_data_starts_whoever_is_down() -> None:
    found = plan("cp2", "10.0.0.2", has_data=True, members=[CP1, CP2, CP3], others_with_data=(), silent=[3])
    assert found.step is Step.KEEP


def test_a_learner_whose_host_died_as_it_joined_makes_room() -> None:
    never_started = Member(4, "", ("https://10.0.0.4:2380",), learner=True)
    died = Member(5, "cp5", ("https://10.0.0.5:2380",), learner=True)
    found = plan(
        "cp2",
        "10.0.0.2",
        has_data=False,
        members=[CP1, never_started, died],
        others_with_data=(),
        silent=[4, 5],
    )
    assert found == Plan(Step.ADD, None, (never_started, died))
