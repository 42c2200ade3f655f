"""kubectl as released reads a cluster: discovery, get in all its forms, describe, explain, can-i."""

from __future__ import annotations

import json
import time

import yaml

from tests.integration.conftest import Kubectl
from tests.integration.manifests import config_map, pod


def test_version_names_the_server(cluster: Kubectl) -> None:
    answer = json.loads(cluster("version", "-o", "json"))
    assert answer["serverVersion"]["minor"] == "32"


def test_cluster_info_names_the_address(cluster: Kubectl) -> None:
    assert "Kubernetes control plane" in cluster("cluster-info")


def test_api_resources_lists_groups_and_short_names(cluster: Kubectl) -> None:
    lines = [line.split() for line in cluster("api-resources").splitlines()]
    assert ["deployments", "deploy", "apps/v1", "true", "Deployment"] in lines
    assert ["nodes", "no", "v1", "false", "Node"] in lines
    assert "networkpolicies" in {line[0] for line in lines}


def test_get_wide_shows_the_server_side_columns(cluster: Kubectl) -> None:
    header, *rows = cluster("get", "nodes", "-o", "wide").splitlines()
    assert header.split()[:5] == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert [row.split()[:2] for row in rows] == [["sim-1", "Ready"], ["sim-2", "Ready"]]


def test_get_yaml_is_the_object(kubectl: Kubectl) -> None:
    kubectl.apply(config_map("settings", colour="blue"))
    obj = yaml.safe_load(kubectl("get", "configmap", "settings", "-o", "yaml"))
    assert obj["data"] == {"colour": "blue"}
    assert obj["metadata"]["namespace"] == kubectl.namespace


def test_get_of_all_namespaces_shows_the_namespace(kubectl: Kubectl) -> None:
    kubectl.apply(config_map("mine"))
    lines = [line.split()[:2] for line in kubectl("get", "configmaps", "-A").splitlines()]
    assert lines[0] == ["NAMESPACE", "NAME"]
    assert [kubectl.namespace, "mine"] in lines


def test_get_watch_prints_changes_as_they_happen(kubectl: Kubectl) -> None:
    kubectl.apply(config_map("first"))
    watch = kubectl.start("get", "configmaps", "--watch", "--output-watch-events", "-o", "name")
    assert watch.stdout is not None
    try:
        seen = watch.stdout.readline().split()
        while "first" not in seen[-1]:
            seen = watch.stdout.readline().split()
        kubectl.apply(config_map("second"))
        deadline = time.monotonic() + 20
        while "second" not in (line := watch.stdout.readline()):
            assert time.monotonic() < deadline
        assert "ADDED" in line or line.strip() == "configmap/second"
    finally:
        watch.terminate()
        watch.communicate()


def test_selectors_filter(kubectl: Kubectl) -> None:
    kubectl.apply(pod("a", nodeName="sim-1"), pod("b", nodeName="sim-2"))
    assert kubectl("get", "pods", "-l", "app=a", "-o", "name").split() == ["pod/a"]
    on_second = kubectl("get", "pods", "--field-selector", "spec.nodeName=sim-2", "-o", "name")
    assert on_second.split() == ["pod/b"]


def test_describe_tells_a_pod_with_its_events(kubectl: Kubectl) -> None:
    kubectl.apply(pod("told"))
    kubectl("wait", "--for=condition=Ready", "pod/told", "--timeout=30s")
    text = kubectl("describe", "pod", "told")
    assert "Image:          example.org/app:1" in text
    assert "Scheduled" in text


def test_describe_tells_a_node(cluster: Kubectl) -> None:
    text = cluster("describe", "node", "sim-1")
    assert "KubeletReady" in text
    assert "Allocated resources" in text


def test_explain_reads_the_published_schema(cluster: Kubectl) -> None:
    text = cluster("explain", "deployment.spec.replicas")
    assert "FIELD: replicas <integer>" in text
    assert "template" in cluster("explain", "deployment.spec", "--recursive")


def test_can_i_asks_the_authorizer(cluster: Kubectl) -> None:
    assert cluster("auth", "can-i", "create", "deployments").strip() == "yes"
    account = "--as=system:serviceaccount:default:default"
    denied = cluster.run(("auth", "can-i", "create", "deployments", account))
    assert (denied.returncode, denied.stdout.strip()) == (1, "no")
    forbidden = cluster.fails("get", "secrets", "-A", account)
    assert "Forbidden" in forbidden
    assert 'cannot list resource "secrets"' in forbidden


def test_whoami_names_the_admin(cluster: Kubectl) -> None:
    answer = json.loads(cluster("auth", "whoami", "-o", "json"))
    assert "system:masters" in answer["status"]["userInfo"]["groups"]
