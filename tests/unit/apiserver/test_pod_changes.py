"""What may change about a pod that exists: by an update, while it is gated, by the resize subresource."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from kdist.api.features import Features
from kdist.apiserver.registry import podresize, podupdates
from kdist.apiserver.registry.podstatus import drop_disabled

Obj = dict[str, Any]


def pod(**spec: Any) -> Obj:
    spec.setdefault("containers", [{"name": "a", "image": "x:1"}])
    return {"kind": "Pod", "metadata": {"name": "p"}, "spec": spec, "status": {}}


def fields(causes: list[Any]) -> list[str]:
    return [cause.field for cause in causes]


def gated(selector: Obj, *expressions: str) -> Obj:
    terms = [{"matchExpressions": [{"key": key, "operator": "Exists"} for key in expressions]}]
    affinity = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return pod(schedulingGates=[{"name": "g"}], nodeSelector=selector, affinity={"nodeAffinity": affinity})


def test_a_gated_pod_may_be_steered_more_narrowly() -> None:
    assert podupdates.check(gated({"a": "b", "c": "d"}, "x", "y"), gated({"a": "b"}, "x")) == []


def test_a_gated_pod_keeps_what_steers_it() -> None:
    field = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
    told = podupdates.check(gated({"a": "c"}, "y"), gated({"a": "b"}, "x"))
    assert fields(told) == ["spec.nodeSelector", field]


def test_a_gated_pod_keeps_its_affinity_to_pods() -> None:
    new, old = gated({}, "x"), gated({}, "x")
    new["spec"]["affinity"]["podAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": []}
    assert fields(podupdates.check(new, old)) == ["spec"]


def test_a_released_pod_is_steered_no_more() -> None:
    assert fields(podupdates.check(pod(nodeSelector={"a": "b"}), pod())) == ["spec"]


# ----- resize

LEVEL = Features.parse("1.33", [])


def resized(new: Obj, old: Obj) -> list[Any]:
    return podresize.check(new, old, LEVEL)


def sized(*, cpu: str = "1", limit: str = "128Mi", policy: str = "NotRequired") -> Obj:
    policies = [{"resourceName": "memory", "restartPolicy": policy}]
    resources = {"requests": {"cpu": cpu}, "limits": {"memory": limit}}
    made = pod(containers=[{"name": "a", "image": "x:1", "resources": resources, "resizePolicy": policies}])
    return {**made, "status": {"qosClass": "Burstable"}}


def test_cpu_and_memory_can_be_resized() -> None:
    assert resized(sized(cpu="2", limit="256Mi"), sized()) == []


def test_a_resize_takes_the_resources_and_nothing_else() -> None:
    spec, wanted = sized()["spec"], sized(cpu="2")["spec"]
    wanted["containers"][0]["image"] = "other"
    podresize.take(spec, wanted, LEVEL)
    assert spec["containers"][0] == {**wanted["containers"][0], "image": "x:1"}


def test_memory_limits_shrink_only_with_a_restart() -> None:
    told = resized(sized(limit="64Mi"), sized())
    assert fields(told) == ["spec.containers[0].resources.limits[memory]"]
    restarted = {"policy": "RestartContainer"}
    assert resized(sized(limit="64Mi", **restarted), sized(**restarted)) == []


def test_a_resize_keeps_the_qos_class_and_removes_nothing() -> None:
    new = sized()
    new["spec"]["containers"][0]["resources"] = {}
    where = "spec.containers[0].resources"
    assert fields(resized(new, sized())) == ["spec", f"{where}.requests", f"{where}.limits"]


def test_only_cpu_and_memory_can_be_resized() -> None:
    new = sized()
    new["spec"]["containers"][0]["resources"]["limits"]["example.com/device"] = "1"
    assert [c.message for c in resized(new, sized())] == [
        "Forbidden: only cpu and memory resources are mutable"
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}},
            "static pods cannot be resized",
        ),
        ({"status": {"containerStatuses": [{"state": {"running": {}}}]}}, "without support for resize"),
    ],
    ids=["a static pod", "an agent that cannot"],
)
def test_some_pods_cannot_be_resized(change: Obj, told: str) -> None:
    old = {**sized(), **change}
    assert any(told in c.message for c in resized(sized(cpu="2"), old))


# ----- what agents with other features wrote


def test_a_write_of_the_pod_drops_the_status_of_features_that_are_off() -> None:
    written = {"resize": "Proposed", "containerStatuses": [{"name": "a", "resources": {}, "user": {}}]}
    older, newer = deepcopy(written), deepcopy(written)
    drop_disabled(older, {}, Features.parse("1.32", []))
    drop_disabled(newer, {}, Features.parse("1.33", []))
    assert older == {"containerStatuses": [{"name": "a"}]}
    assert newer == written
