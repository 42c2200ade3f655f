"""The ``kubernetes`` client from PyPI: CRUD, watch, conflicts, pagination, patch types, errors."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from tests.integration.conftest import Kubectl
from tests.integration.manifests import config_map, deployment, pod

# The client closes its sockets late and is not ours to change.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def api(kubectl: Kubectl) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(kubectl.kubeconfig)) as made:
        yield made


@pytest.fixture
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


def _causes(error: ApiException) -> dict[str, str]:
    return {c["field"]: c["reason"] for c in json.loads(error.body)["details"]["causes"]}


def test_create_read_update_delete(core: client.CoreV1Api, kubectl: Kubectl) -> None:
    space = kubectl.namespace
    made = core.create_namespaced_config_map(space, config_map("crud", a="1"))
    assert made.metadata.uid
    read = core.read_namespaced_config_map("crud", space)
    read.data["a"] = "2"
    changed = core.replace_namespaced_config_map("crud", space, read)
    assert changed.metadata.resource_version != made.metadata.resource_version
    core.delete_namespaced_config_map("crud", space)
    with pytest.raises(ApiException) as missing:
        core.read_namespaced_config_map("crud", space)
    assert missing.value.status == 404


def test_stale_update_is_a_conflict(core: client.CoreV1Api, kubectl: Kubectl) -> None:
    space = kubectl.namespace
    stale = core.create_namespaced_config_map(space, config_map("contended", a="1"))
    core.patch_namespaced_config_map("contended", space, {"data": {"a": "2"}})
    with pytest.raises(ApiException) as conflict:
        core.replace_namespaced_config_map("contended", space, stale)
    assert conflict.value.status == 409
    assert json.loads(conflict.value.body)["reason"] == "Conflict"


def test_watch_delivers_changes_in_order(core: client.CoreV1Api, kubectl: Kubectl) -> None:
    space = kubectl.namespace
    start = core.list_namespaced_config_map(space).metadata.resource_version

    def change() -> None:
        core.create_namespaced_config_map(space, config_map("seen", step="1"))
        core.patch_namespaced_config_map("seen", space, {"data": {"step": "2"}})
        core.delete_namespaced_config_map("seen", space)

    writer = threading.Timer(0.2, change)
    writer.start()
    events = []
    stream = watch.Watch()
    for event in stream.stream(
        core.list_namespaced_config_map, space, resource_version=start, timeout_seconds=20
    ):
        if event["object"].metadata.name == "seen":
            events.append((event["type"], event["object"].data["step"]))
        if event["type"] == "DELETED":
            stream.stop()
    writer.join()
    assert events == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]


def test_pages_cover_the_list_once(core: client.CoreV1Api, kubectl: Kubectl) -> None:
    space = kubectl.namespace
    names = [f"page-{n:02}" for n in range(10)]
    for name in names:
        core.create_namespaced_config_map(space, config_map(name, x="1"))
    found: list[str] = []
    token = None
    pages = 0
    while token is None or token:
        page = core.list_namespaced_config_map(space, limit=4, _continue=token)
        found += [item.metadata.name for item in page.items]
        token = page.metadata._continue or ""
        pages += 1
    assert [name for name in found if name.startswith("page-")] == names
    assert len(found) == len(set(found))
    assert pages >= 3


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json-patch+json", [{"op": "replace", "path": "/data/a", "value": "2"}]),
        ("application/merge-patch+json", {"data": {"a": "2"}}),
        ("application/strategic-merge-patch+json", {"data": {"a": "2"}}),
    ],
)
def test_patch_content_types(core: client.CoreV1Api, kubectl: Kubectl, content_type: str, body: Any) -> None:
    core.create_namespaced_config_map(kubectl.namespace, config_map("patched", a="1"))
    answer = core.patch_namespaced_config_map("patched", kubectl.namespace, body, _content_type=content_type)
    assert answer.data == {"a": "2"}


def test_invalid_pod_is_a_status_with_causes(core: client.CoreV1Api, kubectl: Kubectl) -> None:
    port = {"containerPort": 70000}
    bad = pod("bad", restartPolicy="Sometimes", containers=[{"name": "a", "image": "i", "ports": [port]}])
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_pod(kubectl.namespace, bad)
    assert refused.value.status == 422
    assert _causes(refused.value) == {
        "spec.restartPolicy": "FieldValueNotSupported",
        "spec.containers[0].ports[0].containerPort": "FieldValueInvalid",
    }


def test_scale_subresource(api: client.ApiClient, kubectl: Kubectl) -> None:
    apps = client.AppsV1Api(api)
    apps.create_namespaced_deployment(kubectl.namespace, deployment("scaled", replicas=1))
    apps.patch_namespaced_deployment_scale("scaled", kubectl.namespace, {"spec": {"replicas": 3}})
    scale = apps.read_namespaced_deployment_scale("scaled", kubectl.namespace)
    assert scale.spec.replicas == 3
    assert scale.status.selector == "app=scaled"


def test_generate_name_makes_unique_names(core: client.CoreV1Api, kubectl: Kubectl) -> None:
    manifest = {"metadata": {"generateName": "some-"}}
    names = {core.create_namespaced_config_map(kubectl.namespace, manifest).metadata.name for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("some-") for name in names)


def test_delete_collection_honours_the_selector(core: client.CoreV1Api, kubectl: Kubectl) -> None:
    for name in ("a", "b"):
        manifest = config_map(name)
        manifest["metadata"]["labels"] = {"which": name}
        core.create_namespaced_config_map(kubectl.namespace, manifest)
    core.delete_collection_namespaced_config_map(kubectl.namespace, label_selector="which=a")
    left = {item.metadata.name for item in core.list_namespaced_config_map(kubectl.namespace).items}
    assert "b" in left
    assert "a" not in left
