"""Rules of resources: what is filled in, what is refused and in which words, what may change."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from kdist.api.scheme import Scheme
from kdist.apiserver.registry import Strategy, strategy_for

Obj = dict[str, Any]


def _strategy(scheme: Scheme, api_version: str, kind: str) -> Strategy:
    resource = scheme.by_kind(api_version, kind)
    assert resource is not None
    return strategy_for(resource, scheme.schema_of(resource))


def _created(scheme: Scheme, obj: Obj) -> Obj:
    strategy = _strategy(scheme, obj["apiVersion"], obj["kind"])
    obj["metadata"].setdefault("namespace", "default")
    strategy.default(obj)
    strategy.prepare_create(obj)
    return obj


def _pod(**spec: Any) -> Obj:
    spec.setdefault("containers", [{"name": "a", "image": "nginx"}])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def _workload(kind: str, **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "x:1"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "w"}, "spec": spec}


def _told(causes: list[Any]) -> list[str]:
    return [f"{c.field}: {c.message}" for c in causes]


def test_a_pod_gets_upstreams_defaults(scheme: Scheme) -> None:
    pod = _created(scheme, _pod(volumes=[{"name": "v"}, {"name": "s", "secret": {"secretName": "x"}}]))
    container, volumes = pod["spec"]["containers"][0], pod["spec"]["volumes"]
    assert pod["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert pod["spec"]["terminationGracePeriodSeconds"] == 30
    assert container["imagePullPolicy"] == "Always"
    assert (volumes[0]["emptyDir"], volumes[1]["secret"]["defaultMode"]) == ({}, 420)


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("h:5000/a", "Always"),
        ("a@sha256:x", "IfNotPresent"),
    ],
)
def test_images_that_move_are_always_pulled(scheme: Scheme, image: str, policy: str) -> None:
    pod = _created(scheme, _pod(containers=[{"name": "a", "image": image}]))
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_causes_have_upstreams_fields_and_words(scheme: Scheme) -> None:
    pod = _created(
        scheme,
        _pod(containers=[{"name": "a", "ports": [{"containerPort": 99999}]}, {"name": "a", "image": "x"}]),
    )
    assert _told(_strategy(scheme, "v1", "Pod").validate(pod)) == [
        "spec.containers[0].image: Required value",
        "spec.containers[0].ports[0].containerPort: Invalid value: 99999: must be between 1 and 65535, inclusive",
        'spec.containers[1].name: Duplicate value: "a"',
    ]


def test_a_certificate_request_is_decided_by_its_approval_alone(scheme: Scheme) -> None:
    strategy = _strategy(scheme, "certificates.k8s.io/v1", "CertificateSigningRequest")
    approved = {"type": "Approved", "status": "True"}
    old: Obj = {"metadata": {"name": "a"}, "spec": {"usages": ["x"]}, "status": {"certificate": "MQ=="}}

    def changed(subresource: str, before: Obj, *conditions: Obj) -> tuple[Obj, list[str]]:
        new = {"metadata": {"name": "a"}, "spec": {}, "status": {"conditions": [*conditions]}}
        strategy.prepare_subresource_update(subresource, new, before)
        return new, _told(strategy.validate_subresource_update(subresource, new, before))

    decided, told = changed("approval", old, {"type": "Mine", "status": "True"}, approved)
    assert not told
    assert [c["type"] for c in decided["status"]["conditions"]] == ["Mine", "Approved"]
    assert (decided["spec"], decided["status"]["certificate"]) == (old["spec"], "MQ==")
    told = changed("status", {**old, "status": {}}, approved)[1]
    assert told == ['status.conditions: Forbidden: updates may not add a condition of type "Approved"']
    told = changed("approval", decided)[1]
    assert told == ['status.conditions: Forbidden: updates may not remove a condition of type "Approved"']


def test_events_are_selected_by_the_names_of_their_group(scheme: Scheme) -> None:
    core, new = _strategy(scheme, "v1", "Event"), _strategy(scheme, "events.k8s.io/v1", "Event")
    stored = {"involvedObject": {"kind": "Pod"}, "reportingComponent": "c"}
    assert core.fields(stored) == new.fields(stored)
    assert core.fields(stored)[new.field_label("regarding.kind") or ""] == "Pod"
    assert core.fields(stored)[new.field_label("reportingController") or ""] == "c"
    assert core.fields(stored)[core.field_label("source") or ""] == "c"
    assert new.field_label("source") is None
    assert core.field_label("regarding.kind") is None


def test_names_of_sysctls_are_checked_without_judging_whether_they_are_safe(scheme: Scheme) -> None:
    given = ("foo-", "kernel.shmmax", "net/ipv4/tcp_rmem", "bar..", "kernel.shmmax")
    sysctls = [{"name": name, "value": "1"} for name in given]
    containers = [{"name": "a", "image": "x"}]
    pod = _created(scheme, _pod(containers=containers, securityContext={"sysctls": sysctls}))
    told = [cause.split(": must")[0] for cause in _told(_strategy(scheme, "v1", "Pod").validate(pod))]
    assert told == [
        'spec.securityContext.sysctls[0].name: Invalid value: "foo-"',
        'spec.securityContext.sysctls[3].name: Invalid value: "bar.."',
        'spec.securityContext.sysctls[4].name: Duplicate value: "kernel.shmmax"',
    ]


def test_only_images_deadline_and_tolerations_of_a_pod_change(scheme: Scheme) -> None:
    strategy = _strategy(scheme, "v1", "Pod")
    old = _created(scheme, _pod(nodeName="n"))
    new = deepcopy(old)
    new["spec"]["containers"][0]["image"] = "other"
    new["spec"]["tolerations"] = [{"key": "k", "operator": "Exists"}]
    assert strategy.validate_update(new, old) == []
    new["spec"]["hostNetwork"] = True
    assert "pod updates may not change fields" in strategy.validate_update(new, old)[0].message


def test_a_pod_on_no_node_goes_at_once(scheme: Scheme) -> None:
    strategy = _strategy(scheme, "v1", "Pod")
    assert strategy.grace_seconds(_pod(), None) == 0
    assert strategy.grace_seconds(_pod(nodeName="n", terminationGracePeriodSeconds=7), None) == 7
    assert strategy.grace_seconds(_pod(nodeName="n"), 0) == 0


def test_the_generation_counts_changes_of_the_spec_alone(scheme: Scheme) -> None:
    strategy = _strategy(scheme, "apps/v1", "Deployment")
    old = _created(scheme, _workload("Deployment"))
    new = deepcopy(old)
    new["metadata"]["labels"] = {"x": "y"}
    strategy.prepare_update(new, old)
    assert new["metadata"]["generation"] == 1
    new["spec"]["replicas"] = 5
    new["status"] = {"replicas": 9}
    strategy.prepare_update(new, old)
    assert (new["metadata"]["generation"], new["status"]) == (2, {})


def test_a_status_update_changes_nothing_else(scheme: Scheme) -> None:
    strategy = _strategy(scheme, "apps/v1", "Deployment")
    old = _created(scheme, _workload("Deployment"))
    new = deepcopy(old)
    new["spec"]["replicas"], new["metadata"]["labels"], new["status"] = 9, {"x": "y"}, {"replicas": 1}
    strategy.prepare_subresource_update("status", new, old)
    assert new == {**old, "status": {"replicas": 1}}


def test_annotations_may_come_with_a_status_where_the_resource_allows_it(scheme: Scheme) -> None:
    for api_version, kind, allowed in (
        ("batch/v1", "Job", True),
        ("apiregistration.k8s.io/v1", "APIService", False),
    ):
        old = {"metadata": {"name": "a", "generation": 3}, "spec": {}, "status": {}}
        new = deepcopy(old)
        new["metadata"].update(annotations={"x": "y"}, generation=9)
        _strategy(scheme, api_version, kind).prepare_subresource_update("status", new, old)
        assert (new["metadata"].get("annotations") is not None, new["metadata"]["generation"]) == (allowed, 3)


def test_a_selector_matches_its_template_and_stays(scheme: Scheme) -> None:
    strategy = _strategy(scheme, "apps/v1", "Deployment")
    wrong = _created(scheme, _workload("Deployment", selector={"matchLabels": {"a": "c"}}))
    assert _told(strategy.validate(wrong)) == [
        'spec.template.metadata.labels: Invalid value: map[string]string{"a":"b"}: '
        "`selector` does not match template `labels`"
    ]
    old = _created(scheme, _workload("Deployment"))
    new = deepcopy(old)
    new["spec"]["selector"] = {"matchExpressions": [{"key": "a", "operator": "Exists"}]}
    assert strategy.validate_update(new, old)[0].message.endswith("field is immutable")


def test_a_job_selects_its_pods_by_its_uid(scheme: Scheme) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "x"}]}}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "uid": "u"},
        "spec": {"template": template},
    }
    _created(scheme, job)
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    assert job["spec"]["template"]["metadata"]["labels"]["job-name"] == "j"
    assert _strategy(scheme, "batch/v1", "Job").validate(job) == []


def test_a_service_keeps_its_address_and_drops_ports_of_another_type(scheme: Scheme) -> None:
    strategy = _strategy(scheme, "v1", "Service")
    spec = {"type": "NodePort", "clusterIP": "10.96.0.9", "ports": [{"port": 80, "nodePort": 30080}]}
    old = _created(scheme, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec})
    new = deepcopy(old)
    new["spec"] = {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30080}]}
    strategy.default(new)
    strategy.prepare_update(new, old)
    assert new["spec"]["clusterIP"] == "10.96.0.9"
    assert "nodePort" not in new["spec"]["ports"][0]
    assert strategy.validate_update(new, old) == []


def test_an_immutable_config_map_stays(scheme: Scheme) -> None:
    strategy = _strategy(scheme, "v1", "ConfigMap")
    old = {"metadata": {"name": "c", "namespace": "n"}, "immutable": True, "data": {"a": "b"}}
    new = {**deepcopy(old), "data": {"a": "c"}}
    assert _told(strategy.validate_update(new, old)) == [
        "data: Forbidden: field is immutable when `immutable` is set"
    ]


def test_a_namespace_has_its_name_as_label_and_a_finalizer(scheme: Scheme) -> None:
    obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    strategy = _strategy(scheme, "v1", "Namespace")
    strategy.default(obj)
    strategy.prepare_create(obj)
    assert obj["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}  # type: ignore[index]
    assert (obj["spec"], obj["status"]) == ({"finalizers": ["kubernetes"]}, {"phase": "Active"})
    bare = deepcopy(obj)
    bare["spec"] = {}
    strategy.prepare_subresource_update("finalize", bare, obj)
    assert bare["spec"] == {}


def test_every_resource_has_rules_and_columns(scheme: Scheme) -> None:
    from kdist.apiserver import tables

    for resource in scheme:
        obj = {"metadata": {"name": "x"}}
        strategy = strategy_for(resource, scheme.schema_of(resource))
        assert strategy.fields(obj)["metadata.name"] == "x"
        table = tables.render(resource, [obj])
        assert len(table["rows"][0]["cells"]) == len(table["columnDefinitions"])


@pytest.mark.parametrize("group", [{}, {"apiGroup": ""}])
def test_empty_group_of_a_role_reference_is_rbacs(scheme: Scheme, group: Obj) -> None:
    """Go clients send an empty text where they leave the group out."""
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "b"},
        "roleRef": {"kind": "Role", "name": "r", **group},
        "subjects": [
            {"kind": "User", "name": "u", **group},
            {"kind": "ServiceAccount", "namespace": "n", "name": "s", **group},
        ],
    }
    made = _created(scheme, binding)
    assert made["roleRef"]["apiGroup"] == made["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"
    assert _strategy(scheme, binding["apiVersion"], "RoleBinding").check(made) == []


def _job(**spec: Any) -> Obj:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "x:1"}]}}
    made = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "uid": "u"}}
    return {**made, "spec": {"template": template, **spec}}


def _changed_job(scheme: Scheme, old: Obj, **spec: Any) -> list[str]:
    new = deepcopy(old)
    new["spec"] |= spec
    return [cause.field for cause in _strategy(scheme, "batch/v1", "Job").validate_update(new, old)]


def test_an_indexed_job_completes_as_many_as_run_at_a_time(scheme: Scheme) -> None:
    old = _created(scheme, _job(completionMode="Indexed", completions=2, parallelism=2))
    assert _changed_job(scheme, old, completions=3) == ["spec.completions"]
    assert _changed_job(scheme, old, completions=3, parallelism=3) == []


def test_a_job_that_never_started_may_go_elsewhere_but_not_with_others(scheme: Scheme) -> None:
    old = _created(scheme, _job(suspend=True))
    elsewhere, together = deepcopy(old["spec"]["template"]), deepcopy(old["spec"]["template"])
    elsewhere["spec"]["affinity"] = {"nodeAffinity": {}}
    together["spec"]["affinity"] = {"podAffinity": {}}
    assert _changed_job(scheme, old, template=elsewhere) == []
    assert _changed_job(scheme, old, template=together) == ["spec.template"]
    old["status"] = {"startTime": "2026-01-01T00:00:00Z"}
    assert _changed_job(scheme, old, template=elsewhere) == ["spec.template"]


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"])
def test_pods_that_are_kept_have_no_deadline(scheme: Scheme, kind: str) -> None:
    obj = _created(scheme, _workload(kind))
    obj["spec"]["template"]["spec"]["activeDeadlineSeconds"] = 5
    told = [cause.field for cause in _strategy(scheme, "apps/v1", kind).validate(obj)]
    assert told == ["spec.template.spec.activeDeadlineSeconds"]


def test_ports_that_clash_are_warned_of(scheme: Scheme) -> None:
    ports = [{"containerPort": 80}, {"containerPort": 80, "hostPort": 8080}, {"containerPort": 80}]
    pod = _created(scheme, _pod(containers=[{"name": "a", "image": "x:1", "ports": ports}]))
    where = "spec.containers[0].ports"
    assert _strategy(scheme, "v1", "Pod").warnings(pod) == [
        f"{where}[1]: overlapping port definition with {where}[0]",
        f"{where}[2]: duplicate port definition with {where}[0]",
        f"{where}[2]: overlapping port definition with {where}[1]",
    ]


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        ([], ["10.244.1.0/24", "fd00:244::/64"], False),
        (["10.244.1.0/24"], ["10.244.1.0/24", "fd00:244::/64"], False),
        (["10.244.1.0/24"], ["10.244.2.0/24", "fd00:244::/64"], True),
        (["10.244.1.0/24"], ["10.244.1.0/24", "10.244.2.0/24"], True),
        (["10.244.1.0/24", "fd00:244::/64"], ["10.244.1.0/24", "fd00:245::/64"], True),
        (["10.244.1.0/24", "fd00:244::/64"], ["10.244.1.0/24"], True),
    ],
)
def test_a_node_may_get_a_second_family_and_keeps_what_it_has(
    scheme: Scheme, before: list[str], after: list[str], refused: bool
) -> None:
    nodes = _strategy(scheme, "v1", "Node")

    def node(cidrs: list[str]) -> Obj:
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": {"podCIDRs": cidrs}}

    told = nodes.validate_update(node(after), node(before))
    assert bool(told) == refused, _told(told)
