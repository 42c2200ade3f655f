"""Helm's own Go code (as the PyPI package ships it) installs, upgrades, rolls back and removes a typical chart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import helm_python as helm
import pytest

from tests.integration.conftest import Kubectl

CHART = str(Path(__file__).parent / "chart")
SECONDS = 90
KINDS = (
    "serviceaccount,role,rolebinding,configmap,secret,deployment,statefulset,cronjob,service,ingress,networkpolicy,"
    "poddisruptionbudget,horizontalpodautoscaler,vouchers.third.example.org"
)


@pytest.fixture
def releases(kubectl: Kubectl) -> Iterator[helm.Config]:
    with helm.Config(kubeconfig_path=str(kubectl.kubeconfig), namespace=kubectl.namespace) as made:
        yield made


def _settings(kubectl: Kubectl, name: str = "shop") -> dict[str, str]:
    data: dict[str, str] = kubectl.get("configmap", name)["data"]
    return data


def test_a_release_lives_from_install_to_uninstall(releases: helm.Config, kubectl: Kubectl) -> None:
    made = releases.install(CHART, "shop", wait="watcher", timeout=SECONDS)
    assert (made["revision"], made["status"]) == (1, "deployed")
    assert _settings(kubectl) == {"colour": "blue", "revision": "1", "version": "32", "hasWidgets": "true"}
    password = kubectl.get("secret", "shop")["data"]["password"]
    assert kubectl.get("deployment", "shop")["status"]["readyReplicas"] == 1

    upgraded = releases.upgrade(
        CHART, "shop", {"colour": "red", "image": {"tag": "2"}}, wait="watcher", timeout=SECONDS
    )
    assert upgraded["revision"] == 2
    assert _settings(kubectl)["colour"] == "red"
    assert kubectl.get("secret", "shop")["data"]["password"] == password, "lookup finds what is there"
    (container,) = kubectl.get("deployment", "shop")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "example.org/shop:2"
    assert _settings(kubectl, "shop-before") == {"revision": "2"}
    assert releases.get_values("shop")["colour"] == "red"

    releases.rollback("shop", version=1, timeout=SECONDS)
    assert _settings(kubectl)["colour"] == "blue"
    assert [entry["revision"] for entry in releases.history("shop")] == [1, 2, 3]
    assert [entry["name"] for entry in releases.list()] == ["shop"]

    releases.uninstall("shop", wait="watcher", timeout=SECONDS)
    assert releases.list() == []
    left = {f"{item['kind']}/{item['metadata']['name']}" for item in kubectl.get(KINDS)["items"]}
    assert left == {"ServiceAccount/default", "ConfigMap/kube-root-ca.crt", "ConfigMap/shop-before"}


def test_a_switched_off_object_goes_with_the_upgrade(releases: helm.Config, kubectl: Kubectl) -> None:
    releases.install(CHART, "shop", timeout=SECONDS)
    releases.upgrade(CHART, "shop", {"autoscaling": {"enabled": False}, "replicas": 2}, timeout=SECONDS)
    assert "NotFound" in kubectl.fails("get", "hpa", "shop")
    assert kubectl.get("deployment", "shop")["spec"]["replicas"] == 2
    releases.uninstall("shop", timeout=SECONDS)


def test_a_refused_upgrade_is_rolled_back(releases: helm.Config, kubectl: Kubectl) -> None:
    releases.install(CHART, "shop", timeout=SECONDS)
    with pytest.raises(helm.HelmError, match=r"spec\.percent"):
        releases.upgrade(
            CHART, "shop", {"colour": "green", "percent": 100}, rollback_on_failure=True, timeout=SECONDS
        )
    assert _settings(kubectl)["colour"] == "blue"
    assert releases.status("shop")["status"] == "deployed"
    releases.uninstall("shop", timeout=SECONDS)


def test_a_dry_run_on_the_server_installs_nothing(releases: helm.Config, kubectl: Kubectl) -> None:
    releases.install(CHART, "first", timeout=SECONDS)  # brings the definition that the chart's objects need
    made = releases.install(CHART, "imagined", dry_run="server", timeout=SECONDS)
    assert "name: imagined" in made["manifest"]
    assert "NotFound" in kubectl.fails("get", "deployment", "imagined")
    releases.uninstall("first", timeout=SECONDS)


def test_names_that_are_taken_are_refused(releases: helm.Config) -> None:
    releases.install(CHART, "taken", timeout=SECONDS)
    with pytest.raises(helm.HelmError, match=r"cannot reuse a name|still in use"):
        releases.install(CHART, "taken", timeout=SECONDS)
    releases.uninstall("taken", timeout=SECONDS)
