"""In which order an executor takes the steps of a journal."""

from __future__ import annotations

from kdist.lifecycle.operation.journal import Journal
from kdist.lifecycle.upgrade import plan
from kdist.lifecycle.upgrade.apply import phases
from kdist.lifecycle.upgrade.start import Prepared
from tests.unit.lifecycle.upgrade import NEW, host


def journal() -> Journal:
    found = plan.plan([host("cp1"), host("w1"), host("w2"), host("w3")], NEW, max_unavailable=2)
    return Prepared(found, {"waves": [list(wave) for wave in found.waves]}, ()).journal()


def test_the_journal_has_exactly_the_steps_of_the_plan() -> None:
    found = plan.plan([host("cp1"), host("w1"), host("w2"), host("w3")], NEW, max_unavailable=2)
    assert [(e.name, e.does) for e in journal().entries] == [(s.name, s.text) for s in found.steps]


def test_hosts_of_a_wave_go_together_and_everything_else_one_after_the_other() -> None:
    order = [[chain[0].host or chain[0].name for chain in phase] for phase in phases(journal())]
    assert order == [["snapshot"], ["stage"], ["cp1"], ["w1", "w2"], ["w3"], ["addons"], ["check"]]


def test_every_step_is_in_exactly_one_chain_in_the_order_of_the_plan() -> None:
    found = [entry.name for phase in phases(journal()) for chain in phase for entry in chain]
    assert found == [entry.name for entry in journal().entries]
