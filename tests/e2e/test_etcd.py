"""Care for etcd on a real control plane: the timer, snapshots that are fetched and verified, and going back to one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Cluster, eventually, run

UNIT = "kdist-etcd-snapshot"


def etcd(cluster: Cluster, *arguments: str, timeout: float = 300) -> str:
    return run(["kdist", "etcd", *arguments, "-i", str(cluster.inventory)], timeout=timeout)


def refused(cluster: Cluster, *arguments: str) -> str:
    """What a command says that must fail."""
    command = ["kdist", "etcd", *arguments, "-i", str(cluster.inventory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stdout
    return done.stderr


def containers(cluster: Cluster, namespace: str) -> dict[str, str]:
    pods = cluster.get("pods", "-n", namespace)["items"]
    return {p["metadata"]["name"]: p["status"]["containerStatuses"][0]["containerID"] for p in pods}


@pytest.fixture(scope="module")
def fetched(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A snapshot of a moment with an object, a Secret and a running pod, on the operator's machine."""
    cluster.kubectl("delete", "namespace", "etcd-care", "--ignore-not-found", "--timeout=60s")
    cluster.kubectl("create", "namespace", "etcd-care")
    cluster.kubectl("create", "configmap", "-n", "etcd-care", "before", "--from-literal=a=b")
    cluster.kubectl("create", "secret", "generic", "-n", "etcd-care", "token", "--from-literal=word=hidden")
    cluster.kubectl("run", "-n", "etcd-care", "steady", "--image=localhost/demo-web:0.1.0")
    cluster.kubectl("wait", "-n", "etcd-care", "--for=condition=Ready", "pod/steady", "--timeout=60s")
    to = tmp_path_factory.mktemp("snapshots")
    etcd(cluster, "snapshot", "--fetch", str(to))
    yield next(to.iterdir())
    cluster.kubectl("delete", "namespace", "etcd-care", "--wait=false")


def test_the_timer_takes_snapshots_and_tells_how_it_went(cluster: Cluster) -> None:
    assert cluster.ssh("cp1", f"systemctl is-active {UNIT}.timer").strip() == "active"
    cluster.ssh("cp1", f"systemctl start {UNIT}.service")
    last = json.loads(cluster.ssh("cp1", "cat /var/lib/kdist/etcd-snapshots/last.json"))
    assert last["succeeded"]
    listed = json.loads(etcd(cluster, "snapshots", "--output", "json"))
    assert next(s for s in listed if s["name"] == last["name"])["reason"] == "schedule"


def test_a_snapshot_that_cannot_be_taken_fails_its_unit_and_says_why(cluster: Cluster) -> None:
    settings = "/etc/kubernetes/etcd-snapshots.yaml"
    cluster.ssh(
        "cp1", f"cp {settings} /root/kept && sed -i 's|^directory:.*|directory: /proc/nowhere|' {settings}"
    )
    try:
        cluster.ssh("cp1", f"systemctl start {UNIT}.service", check=False)
        assert cluster.ssh("cp1", f"systemctl is-failed {UNIT}.service", check=False).strip() == "failed"
        assert "/proc/nowhere" in cluster.ssh("cp1", f"journalctl -u {UNIT} -n 20 --no-pager")
    finally:
        cluster.ssh("cp1", f"cp /root/kept {settings}; systemctl reset-failed {UNIT}.service")


def test_the_state_of_etcd_is_one_screen(cluster: Cluster) -> None:
    shown = etcd(cluster, "status")
    assert "cp1" in shown and "leader" in shown and "quorum: yes" in shown


def test_a_fetched_snapshot_is_whole_and_has_the_keys_to_read_it(fetched: Path) -> None:
    assert "whole; cluster" in run(["kdist", "etcd", "verify", str(fetched)])
    assert (fetched / "encryption.yaml").stat().st_mode & 0o777 == 0o600
    assert b"hidden" not in (fetched / "snapshot.db").read_bytes()


def test_a_snapshot_with_a_flipped_byte_is_refused_before_anything_is_touched(
    cluster: Cluster, fetched: Path, tmp_path: Path
) -> None:
    run(["cp", "-r", str(fetched), str(tmp_path / "bad")])
    content = bytearray((tmp_path / "bad/snapshot.db").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "bad/snapshot.db").write_bytes(content)
    assert "was altered" in refused(cluster, "restore", str(tmp_path / "bad"), "--replace", "--yes")
    assert cluster.kubectl("get", "--raw", "/readyz")


def test_a_history_is_not_given_up_by_accident(cluster: Cluster, fetched: Path) -> None:
    assert "cp1 have etcd data" in refused(cluster, "restore", str(fetched))
    assert "has a quorum" in refused(cluster, "recover")


def test_defragmentation_gives_space_back(cluster: Cluster) -> None:
    assert "1 members" in etcd(cluster, "defrag")
    assert "no alarm is raised" in etcd(cluster, "alarms")


def test_a_cluster_goes_back_to_a_snapshot_while_its_workloads_run(cluster: Cluster, fetched: Path) -> None:
    before = containers(cluster, "etcd-care")
    cluster.kubectl("create", "configmap", "-n", "etcd-care", "after")
    told = etcd(cluster, "restore", str(fetched), "--replace", "--yes", timeout=600)
    assert "writes after it are lost" in told and "the cluster is restored" in told
    eventually(lambda: cluster.kubectl("get", "--raw", "/readyz"), 60, "the API server is ready")
    names = {c["metadata"]["name"] for c in cluster.get("configmaps", "-n", "etcd-care")["items"]}
    assert "before" in names and "after" not in names
    assert cluster.get("secret", "-n", "etcd-care", "token")["data"]["word"]
    eventually(lambda: cluster.ready_nodes() == {"cp1", "w1", "w2"}, 90, "every node is Ready")
    cluster.kubectl("run", "-n", "etcd-care", "fresh", "--image=localhost/demo-web:0.1.0")
    cluster.kubectl("wait", "-n", "etcd-care", "--for=condition=Ready", "pod/fresh", "--timeout=90s")
    assert containers(cluster, "etcd-care").items() >= before.items()
