"""The newer API level as kubectl sees it, with controllers, scheduler and simulated nodes of that level."""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import Kubectl, eventually, start_dev, stop_dev


def test_a_control_plane_of_1_33(kubectl_binary: str, tmp_path: Path) -> None:
    process = start_dev(tmp_path, "--port", "0", "--api-level", "1.33", "--feature-gates", "ImageVolume=true")
    try:
        kubectl = Kubectl(kubectl_binary, tmp_path / "admin.kubeconfig")
        assert json.loads(kubectl("version", "-o", "json"))["serverVersion"]["minor"] == "33"
        eventually(lambda: len(kubectl.get("nodes")["items"]) == 2, "two nodes")
        info = kubectl.get("nodes")["items"][0]["status"]["nodeInfo"]
        assert info["kubeletVersion"].startswith("v1.33.0") and not info["kubeProxyVersion"]
        _addresses(kubectl)
        _pods(kubectl)
    finally:
        assert stop_dev(process) == 0


def _addresses(kubectl: Kubectl) -> None:
    eventually(
        lambda: "10.96.0.0/16" in kubectl("get", "servicecidrs", "kubernetes"),
        "the default range of Services",
    )
    kubectl("create", "service", "clusterip", "web", "--tcp=80")
    address = kubectl.get("service", "web")["spec"]["clusterIP"]
    assert "services/default/web" in kubectl("get", "ipaddresses", address)
    assert "services/default/kubernetes" in kubectl("get", "ipaddresses")
    kubectl("delete", "service", "web")
    assert address not in kubectl("get", "ipaddresses")


def _pods(kubectl: Kubectl) -> None:
    eventually(lambda: kubectl.run(("get", "serviceaccount", "default")).returncode == 0, "the account")
    container = {"name": "a", "image": "a", "resources": {"requests": {"cpu": "100m"}}}
    volume = {"name": "v", "image": {"reference": "example.com/data:1"}}
    spec = {"hostUsers": False, "containers": [container], "volumes": [volume]}
    kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec})
    kubectl("wait", "--for=condition=Ready", "pod/a", "--timeout=30s")
    made = kubectl.get("pod", "a")
    assert made["spec"]["hostUsers"] is False and made["spec"]["volumes"][0]["image"]
    assert made["metadata"]["generation"] == 1
    resized = {"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "200m"}}}]}}
    kubectl("patch", "pod", "a", "--subresource", "resize", "--patch", json.dumps(resized))
    made = kubectl.get("pod", "a")
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "200m"}
    assert made["metadata"]["generation"] == 2
