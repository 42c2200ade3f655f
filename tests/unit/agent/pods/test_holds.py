"""Starts that failed are held back, and what is being replaced is not told of as gone."""

from __future__ import annotations

from kdist.agent.pods import plan as plans
from kdist.agent.pods.actions import ActionError
from kdist.agent.pods.holds import START_RETRY, Holds
from kdist.agent.pods.observed import Observed

POD = {"metadata": {"name": "p", "uid": "u"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}}
NOTHING = Observed("u")


def test_a_failed_start_is_tried_again_later_and_told_until_then() -> None:
    holds = Holds()
    holds.failed(ActionError("a", "CreateContainerConfigError", "no such secret"), now=100.0)
    wait = holds.left(POD, NOTHING, 101.0)
    assert wait == {"a": plans.Wait(START_RETRY - 1, "CreateContainerConfigError", "no such secret")}
    assert holds.left(POD, NOTHING, 100.0 + START_RETRY) == {}
    holds.planned(["a"], {})
    assert holds.waiting["a"].reason == "CreateContainerConfigError"


def test_a_start_that_succeeds_is_held_no_more() -> None:
    holds = Holds()
    holds.failed(ActionError("a", "ErrImagePull", "gone"), now=0.0)
    holds.started("a")
    assert holds.left(POD, NOTHING, 0.0) == {} and holds.waiting == {}


def test_a_container_is_away_until_its_next_version_was_started() -> None:
    holds = Holds()
    holds.acted(plans.KillContainer("id", "a", "changed", replaced=True))
    assert holds.replacing
    holds.acted(plans.StartContainer("a", 1))
    assert not holds.replacing
