"""What deleting an object comes to."""

from __future__ import annotations

from typing import Any

import pytest

from kdist.api.errors import Conflict, Invalid
from kdist.api.resources import builtin_resources
from kdist.apiserver.deletion import Options, plan
from kdist.apiserver.registry import Strategy, strategy_for

_BY_PLURAL = {r.plural: r for r in builtin_resources() if r.version == "v1"}


def strategy(plural: str) -> Strategy:
    return strategy_for(_BY_PLURAL[plural])


def obj(kind: str = "ConfigMap", **metadata: Any) -> dict[str, Any]:
    return {"kind": kind, "apiVersion": "v1", "metadata": {"name": "x", "uid": "u", **metadata}, "spec": {}}


def running_pod(**metadata: Any) -> dict[str, Any]:
    pod = obj("Pod", **metadata)
    pod["spec"] = {"nodeName": "n", "terminationGracePeriodSeconds": 30}
    pod["status"] = {"phase": "Running"}
    return pod


def test_an_object_without_finalizers_goes_at_once() -> None:
    assert plan(obj(), Options(), strategy("configmaps")).remove


def test_a_finalizer_keeps_the_object_marked() -> None:
    outcome = plan(obj(finalizers=["a/b"]), Options(), strategy("configmaps"))
    assert not outcome.remove
    assert outcome.obj["metadata"]["deletionTimestamp"]
    assert outcome.obj["metadata"]["deletionGracePeriodSeconds"] == 0


@pytest.mark.parametrize(
    ("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")]
)
def test_a_propagation_policy_becomes_a_finalizer(policy: str, finalizer: str) -> None:
    outcome = plan(obj(), Options(propagation=policy), strategy("configmaps"))
    assert outcome.obj["metadata"]["finalizers"] == [finalizer]
    assert not outcome.remove


def test_background_takes_the_collectors_finalizers_away() -> None:
    given = obj(finalizers=["foregroundDeletion"], deletionTimestamp="2026-01-01T00:00:00Z")
    assert plan(given, Options(propagation="Background"), strategy("configmaps")).remove


def test_a_running_pod_waits_for_its_grace_period() -> None:
    outcome = plan(running_pod(), Options(), strategy("pods"))
    assert not outcome.remove
    assert outcome.obj["metadata"]["deletionGracePeriodSeconds"] == 30


def test_a_pod_on_no_node_goes_at_once() -> None:
    pod = running_pod()
    del pod["spec"]["nodeName"]
    assert plan(pod, Options(), strategy("pods")).remove


def test_a_second_deletion_may_only_shorten_the_grace_period() -> None:
    first = plan(running_pod(), Options(grace_seconds=30), strategy("pods")).obj
    longer = plan(first, Options(grace_seconds=60), strategy("pods"))
    assert longer.obj["metadata"]["deletionGracePeriodSeconds"] == 30
    shorter = plan(longer.obj, Options(grace_seconds=5), strategy("pods"))
    assert shorter.obj["metadata"]["deletionGracePeriodSeconds"] == 5
    assert plan(shorter.obj, Options(grace_seconds=0), strategy("pods")).remove


def test_a_namespace_with_content_finalizers_turns_terminating() -> None:
    namespace = obj("Namespace")
    namespace["spec"] = {"finalizers": ["kubernetes"]}
    outcome = plan(namespace, Options(), strategy("namespaces"))
    assert not outcome.remove
    assert outcome.obj["status"]["phase"] == "Terminating"
    assert "deletionGracePeriodSeconds" not in outcome.obj["metadata"]


@pytest.mark.parametrize("options", [Options(uid="other"), Options(resource_version="1")])
def test_preconditions_protect_other_objects(options: Options) -> None:
    with pytest.raises(Conflict):
        plan(obj(resourceVersion="2"), options, strategy("configmaps"))


def test_contradicting_options_are_refused() -> None:
    with pytest.raises(Invalid):
        Options.parse({"orphanDependents": True, "propagationPolicy": "Orphan"})
    with pytest.raises(Invalid):
        Options.parse({"propagationPolicy": "Sideways"})
