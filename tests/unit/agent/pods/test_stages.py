"""Walks the first picture of docs/agent-states.md."""

import pytest

from kdist.agent.pods.stages import Signals, Stage, advance

STEPS = [
    (Stage.RUNNING, Signals(), Stage.RUNNING),
    (Stage.RUNNING, Signals(stop=True), Stage.STOPPING),
    (Stage.RUNNING, Signals(terminal=True), Stage.STOPPING),
    (Stage.RUNNING, Signals(finished=True), Stage.STOPPING),
    (Stage.RUNNING, Signals(idle=True, removed=True, clean=True), Stage.RUNNING),
    (Stage.STOPPING, Signals(stop=True), Stage.STOPPING),
    (Stage.STOPPING, Signals(idle=True), Stage.STOPPED),
    (Stage.STOPPED, Signals(removed=True), Stage.STOPPED),
    (Stage.STOPPED, Signals(clean=True), Stage.STOPPED),
    (Stage.STOPPED, Signals(removed=True, clean=True), Stage.GONE),
    (Stage.GONE, Signals(stop=True, idle=True, removed=True, clean=True), Stage.GONE),
]


@pytest.mark.parametrize(("stage", "signals", "after"), STEPS)
def test_a_stage_moves_only_where_the_picture_has_an_arrow(stage, signals, after):
    assert advance(stage, signals) is after
