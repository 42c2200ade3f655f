"""Five control planes: grown from three with progress in sight, hosts that die as they join, and what is refused."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator

import pytest
import yaml

from tests.e2e.conftest import ROOT, Cluster, changes, eventually, members, only, run, write

NAME, NET = "five", "10.74.0"
THREE = {"cp1", "cp2", "cp3", "w1"}
FIVE = {*THREE, "cp4", "cp5"}
# What one more member may take from the start of its etcd to its vote.
PROMOTION_SECONDS = 15
PKI = "--cacert=ca.crt --cert=healthcheck-client.crt --key=healthcheck-client.key"


def use(cluster: Cluster, hosts: set[str]) -> None:
    whole = yaml.safe_load((cluster.inventory / "every-host.txt").read_text())
    write(cluster.inventory, only(whole, hosts))


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    """Three control planes and a worker; two more hosts are there.

    KEEP_LAB=1 leaves them, REUSE_LAB=1 takes those that were left.
    """
    cluster = Cluster(ROOT / "inventory" / f"lab-{NAME}", NAME)
    if not os.environ.get("REUSE_LAB"):
        made(cluster)
    yield cluster
    if not os.environ.get("KEEP_LAB"):
        run(["kdist", "lab", "down", "--name", NAME])
        shutil.rmtree(cluster.inventory, ignore_errors=True)


def made(cluster: Cluster) -> None:
    inventory = cluster.inventory
    run(["kdist", "bundle", "build"], timeout=900)
    run(["kdist", "lab", "down", "--name", NAME])
    size = ["--hosts", "6", "--control-planes", "5", "--subnet", f"{NET}.0/24"]
    run(
        ["kdist", "lab", "up", "--name", NAME, *size, "--inventory", str(inventory / "hosts.yml")],
        timeout=400,
    )
    whole = yaml.safe_load((inventory / "hosts.yml").read_text())
    (inventory / "every-host.txt").write_text(yaml.safe_dump(whole))
    use(cluster, THREE)
    cluster.playbook("site.yml", timeout=900)


def back(cluster: Cluster, host: str) -> None:
    """Switch a control plane on; its node may never have been missed, so its member of etcd is asked too."""
    cluster.lab("start", host)
    health = f"cd /etc/kubernetes/pki/etcd && ETCDCTL_API=3 etcdctl {PKI} endpoint health"
    eventually(lambda: cluster.ssh(host, health) or True, 180, f"etcd of {host} answers")
    eventually(lambda: host in cluster.ready_nodes(), 180, f"{host} is back")


def test_nobody_joins_while_a_control_plane_is_down(three: Cluster) -> None:
    use(three, FIVE)
    three.lab("crash", "cp3")
    out = " ".join(three.playbook("site.yml", "--limit", "cp4", check=False, timeout=400).split())
    assert "etcd of cp3 does not answer, and cp4 would be member 4" in out
    assert "kdist remove cp3" in out
    assert set(members(three, "cp1")) == {"cp1", "cp2", "cp3"}
    back(three, "cp3")


def test_one_that_answers_is_not_removed_while_another_does_not(three: Cluster) -> None:
    three.lab("crash", "cp3")
    with pytest.raises(AssertionError, match="without cp2 etcd would lose its quorum: cp3 does not answer"):
        run(["kdist", "remove", "-i", str(three.inventory), "cp2", "--yes"], timeout=200)
    assert set(members(three, "cp1")) == {"cp1", "cp2", "cp3"}
    assert "SchedulingDisabled" not in three.kubectl("get", "nodes")
    back(three, "cp3")


def test_a_learner_whose_host_died_makes_room(three: Cluster) -> None:
    add = (
        f"cd /etc/kubernetes/pki/etcd && ETCDCTL_API=3 etcdctl {PKI} member add dead --learner "
        f"--peer-urls=https://{NET}.99:2380"
    )
    # etcd takes nobody in until its members have been connected for 5 s.
    eventually(lambda: three.ssh("cp1", add), 60, "etcd takes a learner in")
    assert len(members(three, "cp1")) == 4
    began = time.monotonic()
    recap = three.playbook("site.yml", timeout=900)
    print(f"\nfrom three to five in {time.monotonic() - began:.1f} s")
    assert members(three, "cp1") == dict.fromkeys(("cp1", "cp2", "cp3", "cp4", "cp5"), True)
    assert three.ready_nodes() == FIVE
    for host in ("cp4", "cp5"):
        shown = re.findall(rf"^{host}: etcd: (.*)$", recap, re.M)
        print(f"{host}: {shown}")
        voted = re.fullmatch(r"has its vote after ([\d.]+) s", shown[-1])
        assert voted and float(voted[1]) <= PROMOTION_SECONDS, shown
    again = changes(three.playbook("site.yml", timeout=600))
    assert {host: row["changed"] for host, row in again.items()} == dict.fromkeys(FIVE, 0)


def test_any_two_of_five_may_be_lost_and_removed(three: Cluster) -> None:
    three.lab("crash", "cp1")
    three.lab("crash", "cp4")
    run(["kdist", "remove", "-i", str(three.inventory), "cp1", "cp4", "--yes"], timeout=900)
    assert members(three, "cp2") == dict.fromkeys(("cp2", "cp3", "cp5"), True)
    use(three, FIVE - {"cp1", "cp4"})
    recap = changes(three.playbook("site.yml", timeout=600))
    unchanged = dict.fromkeys(("cp2", "cp3", "cp5"), 0)
    # The removal touched no worker: its kubeconfig lists fewer servers from now on.
    assert {host: row["changed"] for host, row in recap.items()} == unchanged | {"w1": 1}
    assert three.ready_nodes() == {"cp2", "cp3", "cp5", "w1"}
