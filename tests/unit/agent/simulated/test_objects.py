"""Simulated nodes and what their pods look like."""

from __future__ import annotations

import pytest

from kdist.agent.simulated import objects
from kdist.agent.simulated.objects import SimulatedNode
from kdist.api import pods as api_pods

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
POD = {
    "metadata": {"name": "p", "uid": "u"},
    "spec": {
        "containers": [{"name": "c", "image": "i"}],
        "initContainers": [{"name": "i", "image": "i"}, {"name": "s", "restartPolicy": "Always"}],
    },
    "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]},
}


def _status(pod: dict, now: str = NOW) -> dict:
    return objects.pod_status(pod, "10.244.0.2", "192.0.2.1", now)


def test_pod_runs_and_is_ready_and_keeps_its_conditions() -> None:
    status = _status(POD)
    assert status["phase"] == "Running"
    assert api_pods.is_ready({"status": status})
    assert api_pods.get_condition({"status": status}, "PodScheduled")
    assert [sorted(s["state"]) for s in status["initContainerStatuses"]] == [["terminated"], ["running"]]


def test_status_is_stable_over_time() -> None:
    first = _status(POD)
    assert _status({**POD, "status": first}, LATER) == first


def test_readiness_gates_are_waited_for() -> None:
    gated = {**POD, "spec": {**POD["spec"], "readinessGates": [{"conditionType": "x/y"}]}}
    assert not api_pods.is_ready({"status": _status(gated)})
    gated["status"] = {"conditions": [{"type": "x/y", "status": "True"}]}
    assert api_pods.is_ready({"status": _status(gated)})


def test_a_stopped_pod_has_failed_and_keeps_what_it_was_told() -> None:
    running = {**POD, "status": _status(POD)}
    api_pods.set_condition(running, "DisruptionTarget", "True", "EvictionByEvictionAPI")
    stopped = {"status": objects.stopped_status(running, LATER)}
    assert api_pods.is_terminal(stopped)
    assert not api_pods.is_ready(stopped)
    assert api_pods.get_condition(stopped, "DisruptionTarget")


def test_addresses_are_unique_until_the_range_is_full() -> None:
    assert SimulatedNode(3).pod_range == "10.244.3.0/24"
    assert objects.free_address("10.244.3.0/24", []) == "10.244.3.2"
    assert objects.free_address("10.244.3.0/24", ["10.244.3.2"]) == "10.244.3.3"
    with pytest.raises(LookupError):
        objects.free_address("10.0.0.0/30", ["10.0.0.2"])
