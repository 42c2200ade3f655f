"""The ``kubernetes`` client's own end-to-end scenarios: apps, batch, dynamic client, resumed watch, files, leases."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, dynamic, stream, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError, ResourceNotFoundError

from tests.integration.conftest import Kubectl, eventually
from tests.integration.manifests import config_map, deployment, pod


@pytest.fixture
def api(kubectl: Kubectl) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(kubectl.kubeconfig)) as made:
        yield made


@pytest.fixture
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


@pytest.fixture
def discovered(api: client.ApiClient, tmp_path: Path) -> dynamic.DynamicClient:
    return dynamic.DynamicClient(api, cache_file=str(tmp_path / "discovery.json"))


# ----- core, apps, batch


def test_pods_run_with_their_status(core: client.CoreV1Api, kubectl: Kubectl) -> None:
    core.create_namespaced_pod(kubectl.namespace, pod("solo"))
    eventually(
        lambda: core.read_namespaced_pod_status("solo", kubectl.namespace).status.phase == "Running", "runs"
    )
    listed = core.list_pod_for_all_namespaces(field_selector=f"metadata.namespace={kubectl.namespace}")
    assert [item.metadata.name for item in listed.items] == ["solo"]
    gone = core.delete_namespaced_pod("solo", kubectl.namespace, grace_period_seconds=0)
    assert gone.metadata.name == "solo"


def test_exec_in_a_pod_without_containers_is_refused_in_words(
    core: client.CoreV1Api, kubectl: Kubectl
) -> None:
    core.create_namespaced_pod(kubectl.namespace, pod("solo"))
    eventually(lambda: core.read_namespaced_pod("solo", kubectl.namespace).status.phase == "Running", "runs")
    with pytest.raises(ApiException) as refused:
        stream.stream(
            core.connect_get_namespaced_pod_exec, "solo", kubectl.namespace, command=["true"], stdout=True
        )
    assert refused.value.status >= 400 or "Handshake status" in str(refused.value.reason)


def test_service_account_tokens_and_secrets(core: client.CoreV1Api, kubectl: Kubectl) -> None:
    core.create_namespaced_service_account(kubectl.namespace, {"metadata": {"name": "robot"}})
    request = client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=["https://example.org"], expiration_seconds=600)
    )
    issued = core.create_namespaced_service_account_token("robot", kubectl.namespace, request)
    assert issued.status.token.count(".") == 2
    core.create_namespaced_secret(kubectl.namespace, {"metadata": {"name": "s"}, "stringData": {"a": "x"}})
    assert core.read_namespaced_secret("s", kubectl.namespace).data == {"a": "eA=="}


def test_a_deployment_rolls_and_a_job_is_kept_in_parts(api: client.ApiClient, kubectl: Kubectl) -> None:
    apps, batch, space = client.AppsV1Api(api), client.BatchV1Api(api), kubectl.namespace
    apps.create_namespaced_deployment(space, deployment("web", replicas=1))
    eventually(
        lambda: apps.read_namespaced_deployment("web", space).status.available_replicas == 1, "available"
    )
    image = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "example.org/app:2"}]}}}}
    apps.patch_namespaced_deployment("web", space, image)
    eventually(lambda: len(apps.list_namespaced_replica_set(space).items) == 2, "two revisions")
    spec = {"template": deployment("x")["spec"]["template"]}
    spec["template"]["spec"]["restartPolicy"] = "Never"
    batch.create_namespaced_job(space, {"metadata": {"name": "work"}, "spec": {**spec, "parallelism": 2}})
    eventually(lambda: batch.read_namespaced_job_status("work", space).status.active == 2, "two pods work")
    batch.delete_namespaced_job("work", space, propagation_policy="Foreground")
    eventually(lambda: not batch.list_namespaced_job(space).items, "the job is gone")


# ----- watch


def test_a_watch_resumes_where_it_was(core: client.CoreV1Api, kubectl: Kubectl) -> None:
    space = kubectl.namespace
    first = core.create_namespaced_config_map(space, config_map("r-0"))
    for n in (1, 2, 3):
        core.create_namespaced_config_map(space, config_map(f"r-{n}"))
    seen: list[str] = []
    version = first.metadata.resource_version
    for _ in range(3):
        follower = watch.Watch()
        for event in follower.stream(
            core.list_namespaced_config_map, space, resource_version=version, timeout_seconds=10
        ):
            seen.append(event["object"].metadata.name)
            version = event["object"].metadata.resource_version
            follower.stop()
    assert seen == ["r-1", "r-2", "r-3"]


def test_a_watch_goes_on_beyond_the_servers_timeout(core: client.CoreV1Api, kubectl: Kubectl) -> None:
    space = kubectl.namespace
    late = threading.Timer(2.5, lambda: core.create_namespaced_config_map(space, config_map("late")))
    late.start()
    follower = watch.Watch()

    def wait(seconds: int) -> Iterator[str]:
        """The client asks again after each timeout of the server's."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            for event in follower.stream(core.list_namespaced_config_map, space, timeout_seconds=1):
                yield event["object"].metadata.name

    assert "late" in (name for name in wait(20) if name == "late")
    late.join()


def test_a_version_of_the_future_is_refused(core: client.CoreV1Api, kubectl: Kubectl) -> None:
    with pytest.raises(ApiException) as refused:
        core.list_namespaced_config_map(
            kubectl.namespace, resource_version="999999999999", resource_version_match="NotOlderThan"
        )
    assert refused.value.status == 504


# ----- dynamic client


def test_dynamic_client_finds_kinds_and_works_with_them(
    discovered: dynamic.DynamicClient, kubectl: Kubectl
) -> None:
    maps = discovered.resources.get(api_version="v1", kind="ConfigMap")
    made = maps.create(body=config_map("dyn", a="1"), namespace=kubectl.namespace)
    assert made.metadata.name == "dyn"
    made = maps.patch(
        name="dyn",
        namespace=kubectl.namespace,
        body={"data": {"b": "2"}},
        content_type="application/merge-patch+json",
    )
    assert made.data.to_dict() == {"a": "1", "b": "2"}
    made.data.a = "3"
    assert maps.replace(body=made, namespace=kubectl.namespace).data.a == "3"
    with pytest.raises(ConflictError):
        maps.create(body=config_map("dyn"), namespace=kubectl.namespace)
    maps.delete(name="dyn", namespace=kubectl.namespace)
    with pytest.raises(NotFoundError):
        maps.get(name="dyn", namespace=kubectl.namespace)
    assert discovered.resources.get(kind="Deployment", group="apps").api_version == "v1"
    assert {r.kind for r in discovered.resources.search(group="batch")} >= {"Job", "CronJob"}
    with pytest.raises(ResourceNotFoundError):
        discovered.resources.get(api_version="v1", kind="Nothing")


def test_dynamic_client_applies_and_tells_conflicts(
    discovered: dynamic.DynamicClient, kubectl: Kubectl
) -> None:
    maps = discovered.resources.get(api_version="v1", kind="ConfigMap")
    place = {"name": "ssa", "namespace": kubectl.namespace}
    assert maps.server_side_apply(body=config_map("ssa", a="1"), field_manager="one", **place).data.a == "1"
    with pytest.raises(ConflictError):
        maps.server_side_apply(body=config_map("ssa", a="2"), field_manager="two", **place)
    forced = maps.server_side_apply(
        body=config_map("ssa", a="2"), field_manager="two", force_conflicts=True, **place
    )
    assert forced.data.a == "2"


def test_dynamic_client_watches(discovered: dynamic.DynamicClient, kubectl: Kubectl) -> None:
    maps = discovered.resources.get(api_version="v1", kind="ConfigMap")
    maps.create(body=config_map("w"), namespace=kubectl.namespace)
    for event in maps.watch(namespace=kubectl.namespace, field_selector="metadata.name=w", timeout=10):
        assert (event["type"], event["object"].metadata.name) == ("ADDED", "w")
        break


def test_dynamic_client_learns_a_definition(discovered: dynamic.DynamicClient, kubectl: Kubectl) -> None:
    group = f"{kubectl.namespace}.example.org"
    definitions = discovered.resources.get(
        api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition"
    )
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "wheels", "singular": "wheel", "kind": "Wheel"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    definitions.create(body={"metadata": {"name": f"wheels.{group}"}, "spec": spec})

    def learned() -> Any:
        try:
            return discovered.resources.get(api_version=f"{group}/v1", kind="Wheel")
        except ResourceNotFoundError:
            discovered.resources.invalidate_cache()
            return None

    wheels = eventually(learned, "the kind is discovered")
    body = {"apiVersion": f"{group}/v1", "kind": "Wheel", "metadata": {"name": "one"}, "spokes": 32}
    assert wheels.create(body=body, namespace=kubectl.namespace).spokes == 32
    definitions.delete(name=f"wheels.{group}")


# ----- files, leases


def test_create_from_yaml_makes_every_document(
    api: client.ApiClient, kubectl: Kubectl, tmp_path: Path
) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    }
    listed = {"apiVersion": "v1", "kind": "List", "items": [config_map("in-list"), service]}
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump_all([deployment("web", replicas=0), listed]))
    utils.create_from_yaml(api, str(path), namespace=kubectl.namespace)
    core = client.CoreV1Api(api)
    assert core.read_namespaced_service("web", kubectl.namespace).spec.cluster_ip
    assert core.read_namespaced_config_map("in-list", kubectl.namespace)
    with pytest.raises(utils.FailToCreateError) as again:
        utils.create_from_yaml(api, str(path), namespace=kubectl.namespace)
    assert {failure.status for failure in again.value.api_exceptions} == {409}


_CANDIDATE = """
import sys
from kubernetes import config
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock import configmaplock, leaselock
kubeconfig, namespace, lock, name = sys.argv[1:]
config.load_kube_config(kubeconfig)
kind = {"lease": leaselock.LeaseLock, "configmap": configmaplock.ConfigMapLock}[lock]
leaderelection.LeaderElection(electionconfig.Config(
    kind("leader", namespace, name), lease_duration=3, renew_deadline=2, retry_period=1,
    onstarted_leading=lambda: print("leads", flush=True), onstopped_leading=lambda: None,
)).run()
"""


@pytest.mark.parametrize("lock", ["lease", "configmap"])
def test_a_candidate_leads_and_another_takes_over_when_it_is_gone(kubectl: Kubectl, lock: str) -> None:
    def candidate(name: str) -> subprocess.Popen[str]:
        arguments = [str(kubectl.kubeconfig), kubectl.namespace, lock, name]
        return subprocess.Popen(
            [sys.executable, "-c", _CANDIDATE, *arguments], stdout=subprocess.PIPE, text=True
        )

    with candidate("one") as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "leads\n"
        with candidate("two") as two:
            assert two.stdout is not None
            one.kill()
            assert two.stdout.readline() == "leads\n"
            two.kill()
