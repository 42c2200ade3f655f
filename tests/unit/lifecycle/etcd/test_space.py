"""Defragmentation never takes two members away at once."""

from __future__ import annotations

import pytest

from kdist.lifecycle.etcd.members import Endpoint, Member
from kdist.lifecycle.etcd.space import NotNow, order, resources


def member(number: int, *, learner: bool = False) -> Member:
    return Member(number, f"cp{number}", (f"https://10.0.0.{number}:2380",), learner)


def running(number: int, leader: int) -> Endpoint:
    return Endpoint(
        member=number,
        cluster=1,
        version="3.4.23",
        revision=10,
        leader=leader,
        term=2,
        committed=20,
        applied=20,
        size=100,
        in_use=50,
    )


def test_the_leader_comes_last() -> None:
    three = [member(1), member(2), member(3)]
    assert [m.name for m in order(three, {n: running(n, 1) for n in (1, 2, 3)})] == ["cp2", "cp3", "cp1"]


def test_nothing_is_defragmented_while_a_member_is_down() -> None:
    with pytest.raises(NotNow, match="cp3 does not run"):
        order([member(1), member(2), member(3)], {n: running(n, 1) for n in (1, 2)})


def test_nothing_is_defragmented_while_a_member_joins() -> None:
    with pytest.raises(NotNow, match="cp2 is joining"):
        order([member(1), member(2, learner=True)], {n: running(n, 1) for n in (1, 2)})


def test_objects_and_bytes_are_counted_by_resource() -> None:
    sizes = {
        "/registry/minions/w1": 5,
        "/registry/minions/w2": 6,
        "/registry/example.com/widgets/x/y": 90,
        "note": 1,
    }
    assert resources(sizes.items()) == [("widgets.example.com", 1, 90), ("nodes", 2, 11), ("(others)", 1, 1)]
