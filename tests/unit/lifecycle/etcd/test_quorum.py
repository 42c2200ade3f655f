"""Who goes on when the quorum is lost, and when nobody may."""

from __future__ import annotations

import pytest

from kdist.lifecycle.etcd.quorum import Refused, Remains, choose


def left(last: int = 100, *, term: int = 2, commit: int = 100, quorum: bool = False) -> Remains:
    return Remains(has_data=True, quorum=quorum, last=last, last_term=term, commit=commit)


EMPTY = Remains(has_data=False, error="no log")


def test_the_only_survivor_goes_on_when_the_lost_are_named() -> None:
    choice = choose({"cp1": None, "cp2": left(), "cp3": None}, {"cp1", "cp3"})
    assert (choice.survivor, choice.others, choice.gone) == ("cp2", (), ("cp1", "cp3"))


def test_a_control_plane_that_does_not_answer_may_be_the_cluster_so_it_must_be_named() -> None:
    with pytest.raises(Refused, match=r"cp3 cannot be asked.*--lost cp1,cp3"):
        choose({"cp1": None, "cp2": left(), "cp3": None}, {"cp1"})


def test_nothing_is_recovered_while_there_is_a_quorum() -> None:
    with pytest.raises(Refused, match="has a quorum"):
        choose({"cp1": left(quorum=True), "cp2": left(), "cp3": None}, {"cp3"})


def test_enough_members_with_data_are_no_lost_quorum() -> None:
    with pytest.raises(Refused, match="find out why etcd does not run"):
        choose({"cp1": left(), "cp2": left(), "cp3": None}, {"cp3"})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (left(100), left(101)),
        (left(200, term=2), left(150, term=3)),
        (left(100, commit=90), left(101, commit=80)),
    ],
)
def test_of_several_survivors_the_one_that_would_win_an_election_goes_on(
    one: Remains, other: Remains
) -> None:
    five = {"cp1": one, "cp2": other, "cp3": None, "cp4": None, "cp5": None}
    assert choose(five, {"cp3", "cp4", "cp5"}).survivor == "cp2"


def test_a_host_that_was_reinstalled_joins_again_and_is_no_survivor() -> None:
    choice = choose({"cp1": left(), "cp2": EMPTY, "cp3": None}, {"cp3", "cp2"})
    assert (choice.survivor, choice.others) == ("cp1", ("cp2",))


def test_a_member_that_is_there_is_not_lost() -> None:
    with pytest.raises(Refused, match="cp2 named as lost, but present"):
        choose({"cp1": None, "cp2": left(), "cp3": None}, {"cp1", "cp2", "cp3"})


def test_without_any_data_only_a_snapshot_helps() -> None:
    with pytest.raises(Refused, match="kdist etcd restore"):
        choose({"cp1": EMPTY, "cp2": None, "cp3": None}, {"cp2", "cp3"})


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(Refused, match="cp9"):
        choose({"cp1": left()}, {"cp9"})


def test_what_is_kept_and_what_is_lost_is_told() -> None:
    loss = choose({"cp1": left(105, commit=100), "cp2": None, "cp3": None}, {"cp2", "cp3"}).loss
    assert "entry 105" in loss and "the last 5 were not known to be committed and are kept" in loss
