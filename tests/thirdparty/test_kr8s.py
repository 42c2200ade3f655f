"""kr8s: dynamic discovery, objects with verbs of their own, watch and wait, synchronously and not."""

from __future__ import annotations

import kr8s
import kr8s.asyncio
import pytest
from kr8s.asyncio.objects import Deployment as AsyncDeployment
from kr8s.objects import ConfigMap, Deployment, Pod, Service, new_class, objects_from_files

from tests.integration.conftest import Kubectl, eventually
from tests.integration.manifests import config_map, deployment, pod


@pytest.fixture
def api(kubectl: Kubectl) -> kr8s.Api:
    made = kr8s.api(kubeconfig=str(kubectl.kubeconfig), namespace=kubectl.namespace)
    made.namespace = kubectl.namespace
    return made


def _in(kubectl: Kubectl, manifest: dict) -> dict:
    manifest["metadata"]["namespace"] = kubectl.namespace
    return manifest


def test_version_identity_and_discovery(api: kr8s.Api) -> None:
    assert api.version()["minor"] == "32"
    assert api.whoami() == "kubernetes-super-admin"
    kinds = {resource["kind"] for resource in api.api_resources()}
    assert {"Pod", "Deployment", "CustomResourceDefinition", "Lease"} <= kinds
    assert "apps/v1" in set(api.api_versions())
    assert api.lookup_kind("deploy") == ("deployment/v1.apps", "deployments", True) or api.lookup_kind(
        "deploy"
    )


def test_create_get_patch_delete(api: kr8s.Api, kubectl: Kubectl) -> None:
    made = ConfigMap(_in(kubectl, config_map("crud", a="1")), api=api)
    made.create()
    assert made.exists()
    made.patch({"data": {"b": "2"}})
    assert ConfigMap.get("crud", namespace=kubectl.namespace, api=api).data == {"a": "1", "b": "2"}
    made.label({"tier": "front"})
    made.annotate({"note": "yes"})
    (found,) = api.get("configmaps", namespace=kubectl.namespace, label_selector={"tier": "front"})
    assert found.annotations["note"] == "yes"
    made.delete()
    eventually(lambda: not made.exists(), "the object is gone")
    with pytest.raises(kr8s.NotFoundError):
        ConfigMap.get("crud", namespace=kubectl.namespace, api=api, timeout=1)


def test_a_deployment_gets_ready_scales_and_owns_its_pods(api: kr8s.Api, kubectl: Kubectl) -> None:
    web = Deployment(_in(kubectl, deployment("web", replicas=1)), api=api)
    web.create()
    web.wait("condition=Available", timeout=60)
    assert web.ready()
    web.scale(2)
    eventually(lambda: len(web.pods()) == 2, "two pods")
    (first, _) = web.pods()
    first.wait(["condition=Ready", "jsonpath='{.status.phase}'=Running"], mode="all", timeout=60)
    web.delete(propagation_policy="Foreground")
    web.wait("delete", timeout=60)


def test_a_service_finds_its_ready_pods(api: kr8s.Api, kubectl: Kubectl) -> None:
    solo = Pod(_in(kubectl, pod("solo")), api=api)
    solo.create()
    solo.wait("condition=Ready", timeout=60)
    service = Service(
        _in(
            kubectl,
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "front"},
                "spec": {"selector": {"app": "solo"}, "ports": [{"port": 80}]},
            },
        ),
        api=api,
    )
    service.create()
    assert [p.name for p in service.ready_pods()] == ["solo"]


def test_server_side_apply_by_the_patch_type(api: kr8s.Api, kubectl: Kubectl) -> None:
    made = ConfigMap(_in(kubectl, config_map("applied", a="1")), api=api)
    made.create()
    made.patch([{"op": "add", "path": "/data/b", "value": "2"}], type="json")
    made.refresh()
    assert made.data == {"a": "1", "b": "2"}


def test_custom_resources_get_a_class(api: kr8s.Api, kubectl: Kubectl, tmp_path) -> None:
    group = f"{kubectl.namespace}.example.org"
    path = tmp_path / "definition.yaml"
    path.write_text(f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: trains.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: trains, singular: train, kind: Train, shortNames: [tr]}}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
""")
    (definition,) = objects_from_files(path, api=api)
    definition.create()
    definition.wait("condition=Established", timeout=30)
    train = new_class(kind="Train", version=f"{group}/v1", namespaced=True)
    train(_in(kubectl, {"metadata": {"name": "late"}, "spec": {"wagons": 3}}), api=api).create()
    (found,) = api.get(f"trains.{group}", namespace=kubectl.namespace)
    assert found.spec.wagons == 3
    definition.delete()


async def test_the_asynchronous_api_watches(kubectl: Kubectl) -> None:
    api = await kr8s.asyncio.api(kubeconfig=str(kubectl.kubeconfig))
    web = await AsyncDeployment(_in(kubectl, deployment("async", replicas=1)), api=api)
    await web.create()
    await web.wait("condition=Available", timeout=60)
    seen = set()
    async for event, item in api.watch("pods", namespace=kubectl.namespace):
        seen.add(event)
        assert item.name.startswith("async-")
        if event == "DELETED":
            break
        if not item.metadata.get("deletionTimestamp"):
            await item.delete(grace_period=0)
    assert {"ADDED", "DELETED"} <= seen
    await web.delete()
