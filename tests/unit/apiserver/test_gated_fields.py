"""What a gate guards goes from what is written, unless the stored object has it already."""

from __future__ import annotations

from typing import Any

import pytest

from kdist.api.features import GATES, Features
from kdist.api.scheme import Scheme
from kdist.apiserver.registry import Strategy, strategy_for
from kdist.apiserver.registry.gatedfields import guarded


def strategy(plural: str, *gates: str, level: str = "1.32", group: str = "") -> Strategy:
    scheme = Scheme.load(level, features=Features.parse(level, gates))
    resource = next(r for r in scheme if (r.group, r.plural) == (group, plural))
    return strategy_for(resource, scheme.schema_of(resource), scheme.features)


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "a"}], **spec}}


def test_user_namespaces_follow_the_level_and_the_gate() -> None:
    for gates, level, kept in (
        ((), "1.32", False),
        (("UserNamespacesSupport=true",), "1.32", True),
        ((), "1.33", True),
        (("UserNamespacesSupport=false",), "1.33", False),
    ):
        new = pod(hostUsers=False)
        strategy("pods", *gates, level=level).drop_disabled(new, None)
        assert ("hostUsers" in new["spec"]) is kept


def test_a_field_in_use_stays() -> None:
    new, old = pod(hostUsers=False), pod(hostUsers=True)
    strategy("pods").drop_disabled(new, old)
    assert new["spec"]["hostUsers"] is False


def test_fields_of_every_container_go() -> None:
    policy = [{"resourceName": "cpu", "restartPolicy": "NotRequired"}]
    new = pod(
        containers=[{"name": "a", "resizePolicy": policy}, {"name": "b"}],
        initContainers=[{"name": "c", "resizePolicy": policy}],
    )
    strategy("pods").drop_disabled(new, None)
    assert new["spec"]["containers"] == [{"name": "a"}, {"name": "b"}]
    assert new["spec"]["initContainers"] == [{"name": "c"}]


def test_templates_are_pods_too() -> None:
    template = {"spec": pod(hostUsers=False)["spec"]}
    new = {"metadata": {}, "spec": {"jobTemplate": {"spec": {"template": template, "managedBy": "a.b/c"}}}}
    strategy("cronjobs", "JobManagedBy=false", group="batch").drop_disabled(new, None)
    job = new["spec"]["jobTemplate"]["spec"]
    assert "managedBy" not in job and "hostUsers" not in job["template"]["spec"]


def test_the_proc_mount_becomes_the_default_one() -> None:
    new = pod(containers=[{"name": "a", "securityContext": {"procMount": "Unmasked"}}])
    strategy("pods").drop_disabled(new, None)
    assert new["spec"]["containers"][0]["securityContext"] == {"procMount": "Default"}
    again = pod(containers=[{"name": "a", "securityContext": {"procMount": "Unmasked"}}])
    strategy("pods").drop_disabled(again, new)
    assert again["spec"]["containers"][0]["securityContext"] == {"procMount": "Default"}


def test_a_source_in_another_namespace_goes_and_one_of_the_same_stays() -> None:
    claims = strategy("persistentvolumeclaims")
    for namespace, kept in (("b", False), (None, True)):
        reference = {"kind": "A", "name": "a", **({"namespace": namespace} if namespace else {})}
        new = {"metadata": {}, "spec": {"dataSourceRef": reference}}
        claims.drop_disabled(new, None)
        assert ("dataSourceRef" in new["spec"]) is kept


def test_every_guarded_field_is_published_and_its_gate_known() -> None:
    scheme = Scheme.load("1.33")
    for resource in scheme:
        if (resource.group, resource.version) == ("autoscaling", "v1"):
            continue  # has no behavior
        for gate, paths in guarded(resource.group, resource.plural).items():
            assert gate in GATES
            for path in paths:
                at: Any = scheme.schema_of(resource)
                for step in path.replace("[*]", ".[*]").split("."):
                    at = at.items if step == "[*]" else at.child(step)
                    assert at is not None, (resource.plural, path, step)


@pytest.mark.parametrize(
    ("level", "search", "fine"),
    [
        ("1.32", "_a.b", False),
        ("1.33", "_a.b", True),
        ("1.33", "A", False),
        ("1.32", "a.b.", True),
        ("1.33", ".", True),
    ],
)
def test_search_domains_are_judged_by_the_level(level: str, search: str, fine: bool) -> None:
    found = strategy("pods", level=level).check(pod(dnsConfig={"searches": [search]}))
    assert (not any("searches" in cause.field for cause in found)) is fine


@pytest.mark.parametrize(
    ("level", "seconds", "fine"),
    [("1.32", 0, False), ("1.33", 0, True), ("1.32", 5, True), ("1.33", 31, False)],
)
def test_sleeping_is_judged_by_the_level(level: str, seconds: int, fine: bool) -> None:
    sleeping = [{"name": "a", "image": "a", "lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}}]
    found = strategy("pods", level=level).check(pod(containers=sleeping, terminationGracePeriodSeconds=30))
    assert (not any("sleep" in cause.field for cause in found)) is fine


def test_pods_count_their_generation_from_the_newer_level_on() -> None:
    for level, expected in (("1.32", None), ("1.33", 1)):
        new = pod()
        pods = strategy("pods", level=level)
        pods.prepare_create(new)
        assert new["metadata"].get("generation") == expected
        changed = pod(activeDeadlineSeconds=5)
        pods.prepare_update(changed, new)
        assert changed["metadata"].get("generation") == (expected and 2)


def test_a_pod_of_the_older_level_starts_to_count_with_its_first_change() -> None:
    pods = strategy("pods", level="1.33")
    same, changed = pod(), pod(activeDeadlineSeconds=5)
    pods.prepare_update(same, pod())
    pods.prepare_update(changed, pod())
    assert "generation" not in same["metadata"] and changed["metadata"]["generation"] == 1


def test_resize_policies_are_filled_in_where_pods_can_be_resized() -> None:
    asks = {"requests": {"cpu": "1", "memory": "1Gi"}}
    for level, count in (("1.32", 0), ("1.33", 2)):
        new = pod(containers=[{"name": "a", "image": "a", "resources": asks}])
        strategy("pods", level=level).default(new)
        assert len(new["spec"]["containers"][0].get("resizePolicy", ())) == count


def test_scaling_to_nothing_takes_a_gate() -> None:
    for gates, fine in (((), False), (("HPAScaleToZero=true",), True)):
        scaler = strategy("horizontalpodautoscalers", *gates, group="autoscaling")
        found = scaler.check({"spec": {"minReplicas": 0, "maxReplicas": 2}})
        assert ("spec.minReplicas" not in {cause.field for cause in found}) is fine
