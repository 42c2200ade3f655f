"""What objects count against quotas."""

from datetime import UTC, datetime

import pytest

from kdist.api import quota

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def container(name="c", requests=None, limits=None, **more):
    return {"name": name, "resources": {"requests": requests or {}, "limits": limits or {}}, **more}


def pod(*containers, init=(), status="Running", **spec):
    return {
        "metadata": {"name": "p"},
        "spec": {"containers": list(containers), "initContainers": list(init), **spec},
        "status": {"phase": status},
    }


def test_pod_uses_its_peak_in_the_users_own_notation():
    one = pod(
        container(requests={"cpu": "100m", "memory": "200M"}, limits={"memory": "1Gi"}),
        container(requests={"cpu": "300m", "nvidia.com/gpu": "2"}),
        init=[container(requests={"cpu": "1", "memory": "64Mi"})],
    )
    assert quota.usage("", "pods", one, NOW) == {
        "count/pods": "1", "pods": "1", "cpu": "1", "requests.cpu": "1", "memory": "200M",
        "requests.memory": "200M", "limits.memory": "1Gi", "requests.nvidia.com/gpu": "2",
    }  # fmt: skip


def test_finished_and_overdue_pods_only_exist():
    assert quota.usage("", "pods", pod(container(), status="Succeeded"), NOW) == {"count/pods": "1"}
    lost = pod(container())
    lost["metadata"] |= {"deletionTimestamp": "2029-12-31T23:59:00Z", "deletionGracePeriodSeconds": 30}
    assert quota.usage("", "pods", lost, NOW) == {"count/pods": "1"}


def test_claim_counts_for_its_class_too():
    claim = {"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "2Gi"}}}}
    prefix = "fast.storageclass.storage.k8s.io/"
    assert quota.usage("", "persistentvolumeclaims", claim) == {
        "count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": "2Gi",
        f"{prefix}persistentvolumeclaims": "1", f"{prefix}requests.storage": "2Gi",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "ports", "balancers"),
    [
        ({"type": "ClusterIP", "ports": [{}]}, "0", "0"),
        ({"type": "NodePort", "ports": [{}, {}]}, "2", "0"),
        ({"type": "LoadBalancer", "ports": [{}, {}]}, "2", "1"),
        ({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": [{}]}, "0", "1"),
    ],
)
def test_services_by_type(spec, ports, balancers):
    used = quota.usage("", "services", {"spec": spec})
    assert (used["services.nodeports"], used["services.loadbalancers"]) == (ports, balancers)


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        ("count/jobs.batch", ("batch", "jobs")),
        ("count/pods", ("", "pods")),
        ("configmaps", ("", "configmaps")),
        ("requests.storage", ("", "persistentvolumeclaims")),
        ("requests.cpu", ("", "pods")),
        ("limits.memory", ("", "pods")),
        ("hugepages-2Mi", ("", "pods")),
        ("requests.nvidia.com/gpu", ("", "pods")),
        ("gold.storageclass.storage.k8s.io/requests.storage", ("", "persistentvolumeclaims")),
        ("nonsense", None),
    ],
)
def test_names_belong_to_resources(name, resource):
    assert quota.resource_of(name) == resource


@pytest.mark.parametrize(
    ("spec", "inside"),
    [
        ({}, True),
        ({"scopes": ["Terminating"]}, False),
        ({"scopes": ["NotTerminating", "BestEffort"]}, True),
        ({"scopes": ["NotBestEffort"]}, False),
        ({"scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}}, True),
        ({"scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high"]}]}}, False),
        ({"scopeSelector": {"matchExpressions": [
            {"scopeName": "CrossNamespacePodAffinity", "operator": "Exists"}]}}, False),
    ],
)  # fmt: skip
def test_scopes_select_pods(spec, inside):
    one = pod({"name": "c"}, priorityClassName="high")
    assert quota.in_scope({"spec": spec}, "", "pods", one) is inside


def test_scoped_quotas_leave_everything_else_alone():
    assert not quota.in_scope({"spec": {"scopes": ["NotTerminating"]}}, "", "services", {"spec": {}})


def test_silent_containers_are_named():
    one = pod(container("a", limits={"cpu": "1"}), container("b", requests={"memory": "1"}))
    assert quota.unspecified(one, ["limits.cpu", "requests.memory", "pods"]) == (
        "must specify limits.cpu for: b; requests.memory for: a"
    )
