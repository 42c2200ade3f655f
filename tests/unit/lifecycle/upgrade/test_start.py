"""What a refusal tells, and what a journal takes over from a plan."""

from __future__ import annotations

import pytest

from kdist.lifecycle.operation.journal import State
from kdist.lifecycle.upgrade import addons, plan
from kdist.lifecycle.upgrade.start import Prepared, Refused, nothing_to_undo
from tests.unit.lifecycle.upgrade import NEW, OLD, deployment, host


def test_nothing_begins_while_something_is_in_the_way_and_all_of_it_is_told_once() -> None:
    steps = plan.plan([host("cp1")], NEW, max_unavailable=1)
    with pytest.raises(Refused) as caught:
        Prepared(steps, {}, ("cp1: not Ready", "w1: full", "cp1: not Ready")).journal()
    assert str(caught.value) == "cp1: not Ready\nw1: full"


def test_a_new_journal_has_everything_to_do() -> None:
    journal = Prepared(plan.plan([host("cp1")], NEW, max_unavailable=1), {}, ()).journal()
    assert {entry.state for entry in journal.entries} == {State.PENDING}
    assert journal.open


def test_only_workloads_of_the_release_are_kept_to_go_back_to() -> None:
    dns, web = deployment("kdist-dns", available=2, namespace="kube-system"), deployment("web", available=3)
    dns["spec"]["template"] = {"metadata": {"annotations": {"kdist.io/version": "0.1.0"}}, "spec": {}}
    web["spec"]["template"] = {"metadata": {}, "spec": {}}
    (kept,) = addons.templates([dns, web])
    assert (kept["kind"], kept["key"]) == ("Deployment", "kube-system/kdist-dns")


def test_an_upgrade_that_stopped_before_it_changed_a_host_can_be_given_up() -> None:
    journal = Prepared(plan.plan([host("cp1")], NEW, max_unavailable=1), {}, ()).journal()
    back = plan.rollback([host("cp1")], OLD, max_unavailable=1)
    assert back.waves == ()
    journal.state = State.FAILED
    assert nothing_to_undo(back, journal, OLD) == []
    journal.state = State.DONE
    assert nothing_to_undo(back, journal, OLD) == ["every host runs kdist 0.1.0, API 1.32 already"]
