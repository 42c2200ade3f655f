"""Several control planes: grown from one, without the one that holds the address, and with a rebuilt first."""

from __future__ import annotations

import time

import yaml

from tests.e2e.conftest import CONTROL_PLANES, VIP, Cluster, changes, eventually, members

HOSTS = {*CONTROL_PLANES, "w1"}


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
