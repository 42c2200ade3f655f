"""Bad luck on hosts: half an installation, a torn manifest, a full disk, a wrong clock. It is said what to do."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e import test_reset as e2e
from tests.e2e.conftest import ROOT, Cluster, eventually, run

NAME, SUBNET = "luck", "10.86.2.0/24"
HOSTS = ("cp1", "w1")
PHASES = ("release", "release,runtime", "release,runtime,pki", "release,runtime,pki,control_plane")
ETCD_DISK = "mkdir -p /var/lib/etcd && mount -t tmpfs -o size=400m,mode=700 tmpfs /var/lib/etcd"
# A Python whose clock is 70 minutes ahead: a lab host shares its clock with the machine.
AHEAD = """
mkdir -p /usr/local/lib/ahead
printf 'import time\\n_true = time.time\\ntime.time = lambda: _true() + 4200\\n' > /usr/local/lib/ahead/sitecustomize.py
printf '#!/bin/sh\\nPYTHONPATH=/usr/local/lib/ahead exec /usr/bin/python3 "$@"\\n' > /usr/local/bin/python-ahead
chmod 755 /usr/local/bin/python-ahead
"""


@pytest.fixture(scope="module")
def bare() -> Iterator[Cluster]:
    """Two hosts with nothing on them."""
    inventory = ROOT / "inventory" / "lab-luck"
    run(["kdist", "bundle", "build"], timeout=900)
    run(["kdist", "lab", "down", "--name", NAME])
    up = ["kdist", "lab", "up", "--name", NAME, "--hosts", str(len(HOSTS)), "--subnet", SUBNET]
    run([*up, "--inventory", str(inventory / "hosts.yml")], timeout=400)
    yield Cluster(inventory, NAME)
    if not os.environ.get("KEEP_LAB"):
        run(["kdist", "lab", "down", "--name", NAME])
        shutil.rmtree(inventory, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(bare: Cluster) -> Cluster:
    """A cluster whose etcd has a small disk of its own."""
    bare.ssh("cp1", ETCD_DISK)
    bare.playbook("site.yml", timeout=900)
    return bare


def findings(cluster: Cluster) -> dict[str, dict[str, str]]:
    told = run(["kdist", "doctor", "-i", str(cluster.inventory), "-o", "json"], check=False, timeout=120)
    return {finding["check"]: finding for finding in json.loads(told)}


def state(cluster: Cluster, host: str) -> dict[str, object]:
    return e2e.state(cluster, host)


def test_a_wrong_clock_is_refused_before_anything_is_changed(bare: Cluster, tmp_path: Path) -> None:
    before = state(bare, "w1")
    bare.ssh("w1", AHEAD)
    inventory = yaml.safe_load((bare.inventory / "hosts.yml").read_text())
    inventory["all"]["hosts"]["w1"]["ansible_python_interpreter"] = "/usr/local/bin/python-ahead"
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
    told = run(["ansible-playbook", "-i", str(tmp_path), "site.yml"], check=False, timeout=300)
    assert "w1: its clock differs by +4" in told
    assert "set up time synchronisation" in told
    assert "Nothing was changed" in told
    bare.ssh("w1", "rm -r /usr/local/lib/ahead /usr/local/bin/python-ahead")
    assert e2e.differences(before, state(bare, "w1")) == {}


def test_a_disk_without_room_is_refused_before_anything_is_changed(bare: Cluster) -> None:
    before = state(bare, "w1")
    bare.ssh("w1", "mount -t tmpfs -o size=100m tmpfs /opt")
    told = bare.playbook("site.yml", check=False)
    bare.ssh("w1", "umount /opt")
    assert "w1: has 100 MiB free for /opt; 350 MiB are needed there" in told
    assert e2e.differences(before, state(bare, "w1")) == {}


@pytest.mark.parametrize("tags", PHASES)
def test_an_installation_that_was_cut_off_is_reset(bare: Cluster, tags: str) -> None:
    before = {host: state(bare, host) for host in HOSTS}
    bare.playbook("site.yml", "--tags", f"always,{tags}", timeout=900)
    run(["kdist", "reset", "-i", str(bare.inventory), "--yes"], timeout=300)
    assert {host: e2e.differences(before[host], state(bare, host)) for host in HOSTS} == {"cp1": {}, "w1": {}}


def test_a_torn_manifest_is_named_by_file_and_line_and_the_next_run_mends_it(cluster: Cluster) -> None:
    cluster.kubectl("create", "configmap", "before-the-manifest-was-torn")
    path = "/etc/kubernetes/manifests/kube-apiserver.yaml"
    cluster.ssh(
        "cp1", f"head -c 300 {path} > /root/torn && printf '\\n   - [' >> /root/torn && cp /root/torn {path}"
    )
    found = eventually(lambda: findings(cluster).get("manifest-broken"), 60, "the doctor finds it")
    assert found["subject"] == "cp1"
    assert path in found["finding"]
    assert found["cause"].startswith("line ")
    assert "site.yml --limit cp1" in found["mend"]
    cluster.playbook("site.yml", timeout=600)
    assert cluster.get("configmap", "before-the-manifest-was-torn")
    eventually(lambda: "manifest-broken" not in findings(cluster), 60, "it is mended")


def test_a_full_disk_of_etcd_loses_nothing_that_was_acknowledged(cluster: Cluster) -> None:
    written = []
    cluster.ssh("cp1", "dd if=/dev/zero of=/var/lib/etcd/filler bs=64k 2>/dev/null || true", timeout=120)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(written) < 200:
        name = f"full-{time.monotonic_ns()}"
        command = ["create", "configmap", name, f"--from-literal=text={'x' * 20000}", "--request-timeout=5s"]
        if f"{name} created" not in cluster.kubectl(*command, check=False):
            break
        written.append(name)
    found = eventually(lambda: findings(cluster).get("disk-full"), 60, "the doctor finds it")
    assert found["subject"] == "cp1"
    assert "/var/lib/etcd" in found["finding"]
    cluster.ssh("cp1", "rm /var/lib/etcd/filler")
    eventually(lambda: cluster.kubectl("get", "--raw", "/readyz"), 180, "the API server is ready again")
    eventually(
        lambda: cluster.kubectl("create", "configmap", f"after-{time.monotonic_ns()}"), 120, "writes go on"
    )
    there = {item["metadata"]["name"] for item in cluster.get("configmaps")["items"]}
    assert set(written) <= there


def test_what_was_kept_comes_back_with_the_next_installation(cluster: Cluster) -> None:
    cluster.kubectl("create", "configmap", "before-the-reset")
    run(["kdist", "reset", "-i", str(cluster.inventory), "--yes", "--keep-data"], timeout=300)
    assert cluster.ssh("cp1", "ls /opt/kdist /usr/bin/containerd 2>/dev/null || true").strip() == ""
    cluster.playbook("site.yml", timeout=900)
    assert cluster.get("configmap", "before-the-reset")
    eventually(lambda: cluster.ready_nodes() == set(HOSTS), 120, "every node is Ready")
