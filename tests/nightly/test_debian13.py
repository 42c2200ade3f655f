"""Debian 13 hosts, alone (images of Debian 13 too) and mixed with Debian 12 in both roles from one bundle: the demo
answers everywhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import ROOT, Cluster, changes, eventually, run

NAME, SUBNET = "deb13", "10.85.0.0/24"
HOSTS = {"cp1": "10.85.0.11", "w1": "10.85.0.12", "w2": "10.85.0.13"}
# Hosts as `kdist lab up --suite` takes them: what that makes of every host, and the suites of the bundle.
LABS = {
    "trixie": ({"cp1": "13", "w1": "13", "w2": "13"}, "trixie"),
    "bookworm,w1=trixie": ({"cp1": "12", "w1": "13", "w2": "12"}, "bookworm,trixie"),
    "trixie,w1=bookworm": ({"cp1": "13", "w1": "12", "w2": "13"}, "bookworm,trixie"),
}
ETCD = {"trixie": "3.5.", "bookworm,trixie": "3.4."}
PYTHON = {"12": "3.11", "13": "3.13"}


@pytest.fixture(scope="module", params=LABS)
def mixed(request: pytest.FixtureRequest) -> Iterator[tuple[Cluster, dict[str, str]]]:
    """A cluster of one control plane and two workers, and the Debian release of every host."""
    inventory = ROOT / "inventory" / f"lab-{NAME}"
    releases, suites = LABS[request.param]
    bundle = ROOT / "dist" / f"bundle-{suites.replace(',', '-')}"
    run(["kdist", "bundle", "build", "--suite", suites, "--out", str(bundle)], timeout=900)
    run(["kdist", "lab", "down", "--name", NAME])
    shutil.rmtree(inventory, ignore_errors=True)
    up = ["kdist", "lab", "up", "--name", NAME, "--subnet", SUBNET, "--suite", request.param]
    run([*up, "--inventory", str(inventory / "hosts.yml")], timeout=600)
    (inventory / "group_vars").mkdir()
    (inventory / "group_vars/all.yml").write_text(f"kdist_bundle: {bundle}\n")
    cluster = Cluster(inventory, NAME)
    cluster.playbook("site.yml", timeout=900)
    etcd = cluster.ssh("cp1", "ctr -n k8s.io images list -q | grep localhost/etcd").strip()
    assert etcd.startswith(f"localhost/etcd:{ETCD[suites]}"), "etcd is that of the bundle's first suite"
    yield cluster, releases
    if not os.environ.get("KEEP_LAB"):
        run(["kdist", "lab", "down", "--name", NAME])
        shutil.rmtree(inventory, ignore_errors=True)


def test_every_host_runs_its_own_releases_packages_and_python(mixed: tuple[Cluster, dict[str, str]]) -> None:
    cluster, releases = mixed
    for host, release in releases.items():
        assert cluster.ssh(host, ". /etc/os-release; echo $VERSION_ID").strip() == release
        version = cluster.ssh(host, "dpkg-query -W -f '${Version}' containerd")
        assert version.startswith({"12": "1.6.", "13": "1.7."}[release])
        code = "import cryptography, grpc, msgspec, sys; print(*sys.version_info[:2], sep=chr(46))"
        found = cluster.ssh(host, f"cd /; PYTHONPATH=/opt/kdist/current/lib python3 -c '{code}'")
        assert found.strip() == PYTHON[release]
    assert eventually(lambda: cluster.ready_nodes() == set(HOSTS), 60, "all nodes are Ready")


def test_the_demo_answers_on_every_node(mixed: tuple[Cluster, dict[str, str]]) -> None:
    cluster, _ = mixed
    cluster.kubectl("apply", "-f", str(ROOT / "examples/demo.yaml"))
    cluster.kubectl("rollout", "status", "deployment/demo", "--timeout=120s", timeout=150)
    cluster.kubectl("wait", "--for=condition=Ready", "pod/visitor", "--timeout=60s")
    pods = cluster.get("pods", "-l", "app=demo")["items"]
    assert {pod["spec"]["nodeName"] for pod in pods} == {"w1", "w2"}
    ask = ("exec", "visitor", "--", "wget", "-q", "-O", "-")
    for pod in pods:  # by pod address: across hosts of both releases
        url = f"http://{pod['status']['podIP']}:8080"
        assert pod["metadata"]["name"] in cluster.kubectl(*ask, url)
    assert eventually(lambda: "demo-" in cluster.kubectl(*ask, "http://demo"), 30, "the Service by its name")
    for address in HOSTS.values():
        assert "demo-" in eventually(
            lambda a=address: cluster.http(f"http://{a}:30080"), 20, "the node port answers"
        )


def test_logs_and_exec_reach_every_node(mixed: tuple[Cluster, dict[str, str]]) -> None:
    cluster, _ = mixed
    for pod in cluster.get("pods", "-l", "app=demo")["items"]:
        name = pod["metadata"]["name"]
        assert cluster.kubectl("exec", name, "--", "hostname").strip() == name
        cluster.kubectl("logs", name)


def test_a_second_run_changes_nothing(mixed: tuple[Cluster, dict[str, str]]) -> None:
    cluster, _ = mixed
    recap = changes(cluster.playbook("site.yml"))
    assert {host: row["changed"] for host, row in recap.items()} == dict.fromkeys(HOSTS, 0)
