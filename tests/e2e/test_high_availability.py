"""Several control planes: grown from one, without the one that holds the address, and with a rebuilt first."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import ROOT, Cluster, changes, eventually, run

NAME, SUBNET, VIP = "ha", "10.75.0.0/24", "10.75.0.100"
CONTROL_PLANES = ("cp1", "cp2", "cp3")
HOSTS = {*CONTROL_PLANES, "w1"}
FIRST = {"cp1", "w1"}


def only(inventory: dict[str, Any], hosts: set[str]) -> dict[str, Any]:
    """The inventory of some of the hosts."""
    everything = inventory["all"]
    children = {
        group: {**content, "hosts": {h: v for h, v in content["hosts"].items() if h in hosts}}
        if "hosts" in content
        else content
        for group, content in everything["children"].items()
    }
    kept = {h: v for h, v in everything["hosts"].items() if h in hosts}
    return {"all": {**everything, "hosts": kept, "children": children}}


def write(inventory: Path, content: dict[str, Any]) -> None:
    (inventory / "hosts.yml").write_text(yaml.safe_dump(content))


@pytest.fixture(scope="module")
def grown() -> Iterator[Cluster]:
    """A cluster of one control plane and one worker to which two control planes were added."""
    inventory = ROOT / "inventory" / "lab-ha"
    hosts = inventory / "hosts.yml"
    run(["kdist", "bundle", "build"], timeout=900)
    run(["kdist", "lab", "down", "--name", NAME])
    size = ["--hosts", "4", "--control-planes", "3", "--subnet", SUBNET]
    run(["kdist", "lab", "up", "--name", NAME, *size, "--inventory", str(hosts)], timeout=400)
    whole = yaml.safe_load(hosts.read_text())
    whole["all"]["vars"]["kdist_api_vip"] = VIP
    cluster = Cluster(inventory, NAME)
    write(inventory, only(whole, FIRST))
    cluster.playbook("site.yml", timeout=600)
    write(inventory, whole)
    cluster.playbook("site.yml", timeout=600)
    yield cluster
    if not os.environ.get("KEEP_LAB"):
        run(["kdist", "lab", "down", "--name", NAME])
        shutil.rmtree(inventory, ignore_errors=True)


def members(cluster: Cluster, host: str) -> dict[str, bool]:
    """Name of every etcd member to whether it may vote, as a control plane tells it."""
    pki = "--cacert=ca.crt --cert=healthcheck-client.crt --key=healthcheck-client.key"
    command = f"cd /etc/kubernetes/pki/etcd && ETCDCTL_API=3 etcdctl {pki} --write-out=json member list"
    listed = json.loads(cluster.ssh(host, command))["members"]
    return {member["name"]: not member.get("isLearner", False) for member in listed}


def holder(cluster: Cluster) -> str:
    lease = cluster.get("lease", "-n", "kube-system", "kdist-vip")
    return str(lease["spec"]["holderIdentity"])


def test_added_control_planes_vote_and_a_second_run_changes_nothing(grown: Cluster) -> None:
    assert members(grown, "cp1") == dict.fromkeys(CONTROL_PLANES, True)
    assert grown.ready_nodes() == HOSTS
    recap = changes(grown.playbook("site.yml"))
    assert {host: row["changed"] for host, row in recap.items()} == dict.fromkeys(HOSTS, 0)


def test_people_use_the_virtual_address(grown: Cluster) -> None:
    admin = yaml.safe_load((grown.inventory / "admin.conf").read_text())
    assert admin["clusters"][0]["cluster"]["server"] == f"https://{VIP}:6443"


def test_the_control_plane_that_holds_the_address_may_die(grown: Cluster) -> None:
    grown.kubectl(
        "run", "survivor", "--image=localhost/demo-web:0.1.0", "--overrides", '{"spec":{"nodeName":"w1"}}'
    )
    grown.kubectl("wait", "--for=condition=Ready", "pod/survivor", "--timeout=60s")
    before = grown.get("pod", "survivor")["status"]["containerStatuses"]
    lost = holder(grown)
    grown.lab("crash", lost)
    died = time.monotonic()
    eventually(
        lambda: grown.kubectl("create", "configmap", f"written-{time.time_ns()}"),
        60,
        "a write by the address",
    )
    print(
        f"\nwrites again {time.monotonic() - died:.1f} s after the death of the holder, kubectl's own time included"
    )
    assert holder(grown) != lost
    assert grown.get("pod", "survivor")["status"]["containerStatuses"] == before
    grown.lab("start", lost)
    eventually(lambda: grown.ready_nodes() == HOSTS, 120, "the lost host is back")


def test_a_rebuilt_first_control_plane_joins_its_old_cluster(grown: Cluster) -> None:
    grown.kubectl("create", "configmap", "before-the-rebuild")
    grown.ssh("cp1", "systemctl disable --now kdist-agent; rm -rf /etc/kubernetes /var/lib/etcd /opt/kdist")
    grown.lab("crash", "cp1")
    grown.lab("start", "cp1")
    eventually(
        lambda: grown.ssh("cp1", "systemctl is-system-running || true").strip() in ("running", "degraded"),
        60,
        "cp1",
    )
    grown.playbook("site.yml", timeout=600)
    assert members(grown, "cp2") == dict.fromkeys(CONTROL_PLANES, True)
    assert grown.get("configmap", "before-the-rebuild")
    assert grown.ready_nodes() == HOSTS
