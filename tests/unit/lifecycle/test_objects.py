"""What the cluster's own objects are said to lack."""

from __future__ import annotations

from typing import Any

from kdist.lifecycle import objects


def node(name: str, ready: str, message: str = "") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready, "message": message}]
    return {"metadata": {"name": name}, "status": {"conditions": conditions}}


def test_a_lost_node_is_named_beside_the_workload_that_misses_it() -> None:
    nodes = [node("cp1", "True"), node("w2", "Unknown", "Kubelet stopped posting node status.")]
    assert objects.unready(nodes) == ["node w2 is not Ready: Kubelet stopped posting node status."]


def test_of_named_nodes_those_that_never_registered_are_told_too() -> None:
    nodes = [node("cp1", "True"), node("w2", "Unknown", "silent")]
    told = objects.unready(nodes, ["cp1", "w1"])
    assert told == ["node w1 has not registered (journalctl -u kdist-agent on that host)"]
