"""What an upgrade does, in which order, and what it refuses."""

from __future__ import annotations

import pytest

from kdist.lifecycle.upgrade import plan
from kdist.lifecycle.upgrade.plan import Target
from tests.unit.lifecycle.upgrade import NEW, OLD, host

CLUSTER = [host("cp1"), host("cp2"), host("cp3"), host("w1"), host("w2"), host("w3")]


def names(found: plan.Plan) -> list[str]:
    return [step.name for step in found.steps]


def test_the_snapshot_comes_first_control_planes_before_workers_and_addons_last() -> None:
    found = plan.plan(CLUSTER, NEW, max_unavailable=1)
    order = [step.host or step.name for step in found.steps]
    assert list(dict.fromkeys(order)) == [
        "snapshot", "stage", "cp1", "cp2", "cp3", "w1", "w2", "w3", "addons", "check",
    ]  # fmt: skip
    assert names(found)[2:6] == ["cp1/drain", "cp1/upgrade", "cp1/verify", "cp1/return"]


def test_control_planes_go_one_at_a_time_whatever_the_budget_of_workers() -> None:
    found = plan.plan(CLUSTER, NEW, max_unavailable=2)
    assert found.waves == (("cp1",), ("cp2",), ("cp3",), ("w1", "w2"), ("w3",))


def test_hosts_that_are_there_already_are_left_alone() -> None:
    mixed = [host("cp1", NEW), host("cp2"), host("w1", NEW)]
    assert plan.plan(mixed, NEW, max_unavailable=1).waves == (("cp2",),)
    assert plan.plan([host("cp1", NEW)], NEW, max_unavailable=1).steps == ()


def test_a_control_plane_whose_server_serves_the_old_level_is_not_there_yet() -> None:
    half = host("cp1", NEW, server=Target(NEW.version, "1.32"))
    assert plan.plan([half], NEW, max_unavailable=1).waves == (("cp1",),)


def test_no_minor_is_skipped_and_nothing_goes_back() -> None:
    assert plan.problems(CLUSTER, NEW) == []
    assert "cp1: kdist goes one minor version at a time" in plan.problems(CLUSTER, Target("0.3.0", "1.32"))[0]
    assert any("API level goes one minor" in told for told in plan.problems(CLUSTER, Target("0.2.0", "1.34")))
    assert "rollback" in plan.problems([host("cp1", NEW)], OLD)[0]


def test_an_agent_newer_than_an_api_server_is_refused() -> None:
    (told,) = plan.problems([host("cp1"), host("w1", Target("0.1.1", "1.32"))], NEW)
    assert told == (
        "w1: its agent 0.1.1 is newer than the API server of cp1 (0.1.0); bring cp1 to 0.1.1 first"
    )


def test_at_no_moment_is_an_agent_newer_than_an_api_server() -> None:
    running = {h.name: h for h in CLUSTER}
    for wave in plan.plan(CLUSTER, NEW, max_unavailable=3).waves:
        for name in wave:
            running[name] = host(name, NEW)
            servers = [h.server.version for h in running.values() if h.server]
            agents = [h.agent.version for h in running.values() if h.agent and not h.control_plane]
            assert max(agents) <= min(servers) or set(servers) == {"0.2.0"}


def test_the_way_back_is_the_other_way_round() -> None:
    found = plan.rollback([host(h.name, NEW) for h in CLUSTER], OLD, max_unavailable=2)
    assert found.waves == (("w1", "w2"), ("w3",), ("cp3",), ("cp2",), ("cp1",))
    assert names(found)[:3] == ["addons", "w1/drain", "w1/restore"]


def test_the_way_back_from_half_an_upgrade_touches_only_that_half() -> None:
    found = plan.rollback([host("cp1", NEW), host("cp2"), host("w1")], OLD, max_unavailable=1)
    assert found.waves == (("cp1",),)


@pytest.mark.parametrize(
    ("text", "workers", "most"), [("1", 5, 1), ("3", 2, 3), ("25%", 8, 2), ("25%", 2, 1), ("100%", 4, 4)]
)
def test_a_budget_is_a_number_or_a_share_and_never_nothing(text: str, workers: int, most: int) -> None:
    assert plan.budget(text, workers) == most


@pytest.mark.parametrize("text", ["0", "-1", "half", "120%", "%"])
def test_other_budgets_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--max-unavailable"):
        plan.budget(text, 3)
