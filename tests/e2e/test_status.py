"""status, doctor and support bundle: on a healthy cluster, with faults, with the API and a host down."""

from __future__ import annotations

import base64
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Cluster, eventually, run

PLANTED = {"secret": "planted-in-a-secret", "variable": "planted-in-a-variable", "log": "planted-in-a-log"}
WITH_SECRETS = f"""
apiVersion: v1
kind: Secret
metadata: {{name: planted}}
stringData: {{value: {PLANTED["secret"]}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: planted}}
spec:
  containers:
    - name: web
      image: localhost/demo-web:0.1.0
      env: [{{name: INNOCENT, value: {PLANTED["variable"]}}}]
"""


def asked(cluster: Cluster, command: str) -> Any:
    """The JSON answer of a kdist command, whatever its exit status."""
    return json.loads(run(["kdist", command, "-i", str(cluster.inventory), "-o", "json"], check=False))


def errors(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Findings of the doctor that are errors, by check."""
    return {f["check"]: f for f in asked(cluster, "doctor") if f["severity"] == "error"}


def bundle(cluster: Cluster, path: Path) -> dict[str, bytes]:
    """The content of a support bundle by name."""
    run(["kdist", "support-bundle", "-i", str(cluster.inventory), "-f", str(path)], timeout=300)
    with tarfile.open(path) as tar:
        found = {entry.name.split("/", 1)[1]: tar.extractfile(entry) for entry in tar if entry.isfile()}
        return {name: stream.read() for name, stream in found.items() if stream}


def test_status_shows_a_healthy_cluster(cluster: Cluster) -> None:
    eventually(lambda: errors(cluster) == {}, 60, "the doctor finds nothing wrong")
    told = asked(cluster, "status")
    assert told["healthy"]
    assert {(h["name"], h["role"], h["node"]) for h in told["hosts"]} == {
        ("cp1", "control plane", "Ready"),
        ("w1", "worker", "Ready"),
        ("w2", "worker", "Ready"),
    }
    assert told["control_plane"][0]["kube-apiserver"]["state"] == "ready"
    assert told["control_plane"][0]["kube-scheduler"]["leads"]
    assert told["etcd"][0]["state"] == "leader"
    assert told["etcd"][0]["revision"] > 1
    assert all(host["first"]["days"] > 300 for host in told["certificates"])
    assert {item["name"] for item in told["addons"]} >= {"kdist-net", "kube-proxy", "kdist-dns", "csi-local"}
    screen = run(["kdist", "status", "-i", str(cluster.inventory)])
    assert all(
        title in screen for title in ("Hosts", "Control plane", "etcd", "Certificates", "Add-ons", "Pods")
    )


@pytest.fixture
def mended(cluster: Cluster) -> Iterator[None]:
    """Whatever a test broke is whole again afterwards."""
    yield
    cluster.ssh("w1", "rm -f /etc/kubernetes/manifests/wrong.yaml; systemctl start kdist-agent")
    cluster.ssh(
        "cp1",
        "test ! -e /root/kube-apiserver.yaml || mv /root/kube-apiserver.yaml /etc/kubernetes/manifests/",
    )
    cluster.lab("heal", "w2")
    eventually(lambda: cluster.kubectl("get", "--raw", "/readyz"), 90, "the API server is ready")
    cluster.kubectl("uncordon", "w1", "w2")
    eventually(lambda: cluster.ready_nodes() == {"cp1", "w1", "w2"}, 90, "every node is Ready")
    # Controllers and scheduler lost their Leases with the API server; the next tests need them to lead again.
    eventually(lambda: errors(cluster) == {}, 120, "the doctor finds nothing wrong any more")


def test_doctor_names_cause_and_remedy_and_the_remedy_mends(cluster: Cluster, mended: None) -> None:
    cluster.kubectl("cordon", "w2")
    cluster.ssh("w1", "printf 'kind: Pod\\nmetadata:\\n\\tname: x\\n' > /etc/kubernetes/manifests/wrong.yaml")
    cluster.ssh("w1", "systemctl stop kdist-agent")
    found = {f["check"]: f for f in asked(cluster, "doctor")}
    assert found["node-cordoned"]["mend"] == "kubectl uncordon w2"
    assert found["manifest-broken"]["finding"].startswith("/etc/kubernetes/manifests/wrong.yaml")
    assert found["manifest-broken"]["cause"].startswith("line 3: ")
    assert found["agent-down"]["mend"].startswith("on w1: systemctl start kdist-agent.service")
    cluster.kubectl(*found["node-cordoned"]["mend"].split()[1:])
    cluster.ssh("w1", "systemctl start kdist-agent.service; rm /etc/kubernetes/manifests/wrong.yaml")
    eventually(lambda: errors(cluster) == {}, 90, "what the doctor told mended it")


def test_support_bundle_tells_much_and_no_secret(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=WITH_SECRETS)
    cluster.ssh("w1", f"logger -t kdist-agent --id=1 password={PLANTED['log']}")
    cluster.ssh("w1", f"systemd-run --wait --unit=ssh-planted echo API_TOKEN={PLANTED['log']}")
    content = bundle(cluster, tmp_path / "support.tar.gz")
    assert {"status.json", "doctor.txt", "missing.txt", "objects/pods.json", "objects/events.json"} <= set(
        content
    )
    for host in ("cp1", "w1", "w2"):
        assert f"hosts/{host}/units/kdist-agent.log" in content
        assert b"table" in content[f"hosts/{host}/network/nftables.txt"]
    assert "hosts/cp1/files/etc/kubernetes/manifests/etcd.yaml" in content
    assert "objects/secrets.json" not in content
    assert b'"planted"' in content["objects/pods.json"]
    keys = cluster.ssh("cp1", "cat /etc/kubernetes/pki/*.key /etc/kubernetes/pki/encryption.yaml")
    secrets = [*PLANTED.values(), *(line for line in keys.splitlines() if len(line) == 64)]
    secrets += [base64.b64encode(value.encode()).decode() for value in PLANTED.values()]
    everything = b"\n".join(content.values()).decode(errors="replace")
    assert [secret for secret in secrets if secret in everything] == []
    assert "PRIVATE KEY" not in everything


def test_without_api_and_with_a_host_down_all_three_still_tell(
    cluster: Cluster, mended: None, tmp_path: Path
) -> None:
    cluster.ssh("cp1", "mv /etc/kubernetes/manifests/kube-apiserver.yaml /root/")
    cluster.lab("cut", "w2")
    eventually(lambda: "api-down" in errors(cluster), 60, "the API server is off")
    found = errors(cluster)
    assert found["host-unreachable"]["subject"] == "w2"
    assert "kube-apiserver.yaml is missing" in found["manifest-missing"]["finding"]
    told = asked(cluster, "status")
    assert not told["healthy"]
    assert told["etcd"][0]["state"] == "leader"
    assert [host["reachable"] for host in told["hosts"]] == [True, True, False]
    content = bundle(cluster, tmp_path / "support.tar.gz")
    missing = content["missing.txt"].decode()
    assert "w2: cannot be reached" in missing
    assert "API: " in missing
    assert "hosts/cp1/units/kdist-agent.log" in content
