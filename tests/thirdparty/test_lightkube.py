"""lightkube: typed and generic resources, apply with field managers, watch, wait, synchronously and not."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from lightkube import AsyncClient, Client, KubeConfig, codecs
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.autoscaling_v1 import ScaleSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod
from lightkube.types import CascadeType, PatchType

from tests.integration.conftest import Kubectl, eventually


def _client(kubectl: Kubectl, manager: str = "lightkube") -> Client:
    config = KubeConfig.from_file(str(kubectl.kubeconfig)).get()
    return Client(config=config, namespace=kubectl.namespace, field_manager=manager)


@pytest.fixture
def client(kubectl: Kubectl) -> Iterator[Client]:
    made = _client(kubectl)
    yield made
    made.close()


def _config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, labels=labels), data=data)


def _deployment(name: str, replicas: int) -> Deployment:
    labels = {"app": name}
    containers = [Container(name="main", image="example.org/app:1")]
    template = PodTemplateSpec(metadata=ObjectMeta(labels=labels), spec=PodSpec(containers=containers))
    spec = DeploymentSpec(replicas=replicas, selector=LabelSelector(matchLabels=labels), template=template)
    return Deployment(metadata=ObjectMeta(name=name), spec=spec)


def test_create_get_replace_patch_delete(client: Client) -> None:
    made = client.create(_config_map("crud", a="1"))
    made.data = {"a": "2"}
    assert client.replace(made).data == {"a": "2"}
    assert client.get(ConfigMap, "crud").data == {"a": "2"}
    patched = client.patch(ConfigMap, "crud", {"data": {"b": "3"}}, patch_type=PatchType.MERGE)
    assert patched.data == {"a": "2", "b": "3"}
    client.delete(ConfigMap, "crud")
    with pytest.raises(ApiError) as missing:
        client.get(ConfigMap, "crud")
    assert missing.value.status.code == 404
    assert missing.value.status.reason == "NotFound"


def test_set_changes_labels_and_annotations(client: Client) -> None:
    client.create(_config_map("kept", {"a": "1", "b": "1"}))
    metadata = client.set(ConfigMap, "kept", labels={"a": None, "c": "2"}, annotations={"n": "x"}).metadata
    assert metadata is not None
    assert (metadata.labels, metadata.annotations) == ({"b": "1", "c": "2"}, {"n": "x"})


def test_list_by_selectors_in_chunks(client: Client) -> None:
    for n in range(5):
        client.create(_config_map(f"part-{n}", {"part": "yes", "odd": str(n % 2)}))
    found = client.list(ConfigMap, labels={"part": "yes", "odd": ("0", "1")}, chunk_size=2)
    assert [item.metadata.name for item in found if item.metadata] == [f"part-{n}" for n in range(5)]
    assert len(list(client.list(ConfigMap, labels={"part": "yes", "odd": "1"}))) == 2
    assert len(list(client.list(ConfigMap, fields={"metadata.name": "part-3"}))) == 1
    client.deletecollection(ConfigMap)
    assert not list(client.list(ConfigMap, labels={"part": "yes"}))


def test_apply_tells_managers_apart(client: Client, kubectl: Kubectl) -> None:
    def wanted(**data: str) -> ConfigMap:
        return ConfigMap(apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name="owned"), data=data)

    client.apply(wanted(a="1", b="1"))
    other = _client(kubectl, "other")
    with pytest.raises(ApiError) as conflict:
        other.apply(wanted(a="2"))
    assert conflict.value.status.code == 409
    assert 'conflict with "lightkube"' in (conflict.value.status.message or "")
    assert other.apply(wanted(a="2"), force=True).data == {"a": "2", "b": "1"}
    assert client.apply(wanted()).data == {"a": "2"}, (
        "what only the first manager had goes, the taken field stays"
    )
    other.close()


def test_watch_from_a_version_sees_what_followed(client: Client) -> None:
    start = client.create(_config_map("begun")).metadata
    assert start is not None
    seen = []

    def change() -> None:
        client.create(_config_map("followed"))
        client.delete(ConfigMap, "followed")

    writer = threading.Timer(0.2, change)
    writer.start()
    for event, item in client.watch(
        ConfigMap,
        fields={"metadata.name": "followed"},
        resource_version=start.resourceVersion,
        server_timeout=20,
    ):
        seen.append((event, item.metadata.name if item.metadata else ""))
        if event == "DELETED":
            break
    writer.join()
    assert seen == [("ADDED", "followed"), ("DELETED", "followed")]


def test_wait_for_conditions_scale_and_status(client: Client) -> None:
    client.create(_deployment("web", 1))
    done = client.wait(Deployment, "web", for_conditions=["Available"])
    assert done.status is not None
    scaled = client.replace(
        Deployment.Scale(
            metadata=ObjectMeta(name="web", namespace=client.namespace), spec=ScaleSpec(replicas=2)
        )
    )
    assert scaled.spec is not None
    assert scaled.spec.replicas == 2
    eventually(lambda: len(list(client.list(Pod, labels={"app": "web"}))) == 2, "two pods")
    client.delete(Deployment, "web", cascade=CascadeType.FOREGROUND)
    eventually(lambda: not list(client.list(Pod, labels={"app": "web"})), "no pod is left")


def test_dry_run_keeps_nothing(client: Client) -> None:
    assert client.create(_config_map("imagined"), dry_run=True).metadata
    with pytest.raises(ApiError):
        client.get(ConfigMap, "imagined")


def test_manifests_and_generic_resources(client: Client, kubectl: Kubectl) -> None:
    group = f"{kubectl.namespace}.example.org"
    definition = f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: boats.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: boats, singular: boat, kind: Boat}}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {{status: {{}}}}
      schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"""
    (loaded,) = codecs.load_all_yaml(definition)
    made = client.create(loaded)
    client.wait(type(made), f"boats.{group}", for_conditions=["Established"])
    boat = create_namespaced_resource(group, "v1", "Boat", "boats")
    client.create(boat(metadata=ObjectMeta(name="first"), spec={"sails": 2}))
    client.patch(boat.Status, "first", {"status": {"afloat": True}}, patch_type=PatchType.MERGE)
    assert client.get(boat, "first").status == {"afloat": True}
    client.delete(type(made), f"boats.{group}")


async def test_the_asynchronous_client_does_the_same(kubectl: Kubectl) -> None:
    config = KubeConfig.from_file(str(kubectl.kubeconfig)).get()
    client = AsyncClient(config=config, namespace=kubectl.namespace, field_manager="async")
    for n in range(3):
        await client.create(_config_map(f"a-{n}", {"a": "sync"}))
    names = [
        item.metadata.name async for item in client.list(ConfigMap, labels={"a": "sync"}) if item.metadata
    ]
    assert names == ["a-0", "a-1", "a-2"]
    await client.apply(_deployment("async", 1))
    await client.wait(Deployment, "async", for_conditions=["Available"])
    async for event, item in client.watch(ConfigMap, labels={"a": "sync"}, server_timeout=20):
        assert event == "ADDED"
        if item.metadata and item.metadata.name == "a-2":
            break
    await client.close()
