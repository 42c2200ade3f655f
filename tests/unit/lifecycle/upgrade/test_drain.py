"""Which pods leave a node, and what a pod that does not leave waits for."""

from __future__ import annotations

from typing import Any

from kdist.lifecycle.upgrade import drain
from tests.unit.lifecycle.upgrade import node, static_pod

Obj = dict[str, Any]


def pod(name: str, *, owner: str = "ReplicaSet", phase: str = "Running", **meta: Any) -> Obj:
    owners = [{"kind": owner, "name": "x", "uid": "u", "controller": True}] if owner else []
    about = {
        "name": name,
        "namespace": "default",
        "labels": {"app": "web"},
        "ownerReferences": owners,
        **meta,
    }
    return {"metadata": about, "spec": {}, "status": {"phase": phase}}


def budget(name: str = "web", namespace: str = "default", app: str = "web") -> Obj:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": app}}},
        "status": {"disruptionsAllowed": 0, "currentHealthy": 2, "expectedPods": 3, "desiredHealthy": 2},
    }


def test_pods_that_somebody_makes_again_go_and_all_others_stay() -> None:
    pods = [
        pod("web"),
        pod("sts", owner="StatefulSet"),
        pod("net", owner="DaemonSet"),
        pod("done", owner="Job", phase="Succeeded"),
        pod("mine", owner=""),
        static_pod("etcd", "cp1"),
    ]
    assert [p["metadata"]["name"] for p in drain.to_evict(pods)] == ["web", "sts"]
    assert drain.stays(pods[4]) == "nobody would make it again"


def test_the_explanation_names_pod_and_budget_and_what_the_budget_waits_for() -> None:
    budgets = [budget(), budget("other", app="db"), budget("elsewhere", namespace="prod")]
    assert drain.explain([pod("web-1")], budgets, {"default/web-1": "too many"}) == [
        "pod default/web-1: budget default/web allows 0 disruptions: 2 of 3 pods are healthy, 2 must be"
    ]


def test_without_a_budget_the_server_s_own_words_are_told() -> None:
    assert drain.explain([pod("a"), pod("b")], [], {"default/a": "slow down"}) == [
        "pod default/a: slow down",
        "pod default/b: it was not asked yet",
    ]


def test_a_pod_that_was_evicted_and_does_not_end_is_told_as_such() -> None:
    (told,) = drain.explain([pod("slow", deletionTimestamp="2026-01-01T00:00:30Z")], [budget()], {})
    assert (
        told == "pod default/slow was evicted and has not ended yet (it was to end by 2026-01-01T00:00:30Z)"
    )


def test_a_node_that_stops_answering_is_lost() -> None:
    assert drain.lost(node("w1")) is None
    assert drain.lost(node("w1", ready="Unknown")) == "Ready is Unknown since then: told"
    assert drain.lost({"status": {}}) is not None


def test_nodes_that_fell_silent_are_named_beside_the_budgets() -> None:
    assert drain.lost_nodes([node("w1"), node("w2", ready="Unknown")]) == [
        "w2 is not Ready, its pods are missed: Ready is Unknown since then: told"
    ]
