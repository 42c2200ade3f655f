"""What three control planes survive: crashes, a lost quorum, a full database, the loss of every host."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import ROOT, Cluster, eventually, run
from tests.nightly.history import Attempt, faults

NAME, SUBNET = "ecloss", "10.93.0.0/24"
PLANES = {"cp1": "10.93.0.11", "cp2": "10.93.0.12", "cp3": "10.93.0.13"}
HOSTS = {*PLANES, "w1"}
FILL = 700_000  # bytes of an object that is to fill the database
# What goes between members of etcd is dropped; clients are not.
PARTED = """
table inet parted {
  chain in { type filter hook input priority -300; tcp dport 2380 drop; tcp sport 2380 drop; }
  chain out { type filter hook output priority -300; tcp dport 2380 drop; tcp sport 2380 drop; }
}
"""


def lab_up(inventory: Path) -> None:
    run(["kdist", "lab", "down", "--name", NAME])
    size = ["--hosts", "4", "--control-planes", "3", "--subnet", SUBNET]
    up = ["kdist", "lab", "up", "--name", NAME, *size, "--inventory", str(inventory / "hosts.yml")]
    run(up, timeout=400)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    inventory = ROOT / "inventory" / "lab-ecloss"
    made = Cluster(inventory, NAME)
    if not os.environ.get("REUSE_LAB"):
        run(["kdist", "bundle", "build"], timeout=900)
        lab_up(inventory)
        made.playbook("site.yml", timeout=900)
    yield made
    if not os.environ.get("KEEP_LAB"):
        run(["kdist", "lab", "down", "--name", NAME])
        shutil.rmtree(inventory, ignore_errors=True)


def etcd(cluster: Cluster, *arguments: str, code: int = 0, timeout: float = 900) -> str:
    command = ["kdist", "etcd", *arguments, "-i", str(cluster.inventory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == code, f"{done.returncode}: {done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def status(cluster: Cluster) -> dict[str, Any]:
    done = subprocess.run(
        ["kdist", "etcd", "status", "--output", "json", "-i", str(cluster.inventory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def voters(cluster: Cluster) -> set[str]:
    return {row["name"] for row in status(cluster)["rows"] if row["running"] and not row["learner"]}


def whole(cluster: Cluster) -> None:
    eventually(lambda: voters(cluster) == set(PLANES), 180, "every control plane votes in etcd")
    eventually(lambda: cluster.ready_nodes() == HOSTS, 180, "every node is Ready")


def server(cluster: Cluster, host: str) -> None:
    """Have kubectl talk to one control plane."""
    path = cluster.inventory / "admin.conf"
    text = re.sub(r"https://10\.93\.0\.\d+:6443", f"https://{PLANES[host]}:6443", path.read_text())
    path.write_text(text)


@contextmanager
def writing(cluster: Cluster, client: str, seconds: float) -> Iterator[list[Attempt]]:
    """Clients that write meanwhile; their history is complete afterwards."""
    history: list[Attempt] = []
    line = [*cluster.inside("nsenter"), sys.executable, "-m", "tests.nightly.writer"]
    names = [f"{client}{number}-{time.time():.0f}" for number in range(3)]
    orders = [",".join([*list(PLANES.values())[n:], *list(PLANES.values())[:n]]) for n in range(3)]
    processes = [
        subprocess.Popen(
            [*line, name, str(cluster.inventory / "admin.conf"), order, str(seconds)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, order in zip(names, orders, strict=True)
    ]
    yield history
    for process in processes:
        out, _ = process.communicate(timeout=seconds + 60)
        for told in out.splitlines():
            fields = json.loads(told)
            fields.pop("at")
            history.append(Attempt(**fields))
    assert len([a for a in history if a.outcome == "ok"]) > 50, "clients hardly wrote anything"


def checked(cluster: Cluster, history: list[Attempt]) -> None:
    clients = sorted({a.client for a in history})
    items = cluster.get("configmaps", "-n", "default", "-l", f"writer in ({','.join(clients)})")["items"]
    found = {item["metadata"]["name"]: item["data"]["value"] for item in items}
    assert faults(history, found) == []
    outcomes = {kind: len([a for a in history if a.outcome == kind]) for kind in ("ok", "refused", "unknown")}
    print(f"\nhistory of {len(history)} writes: {outcomes}")


def test_killed_etcds_and_crashed_hosts_lose_no_acknowledged_write(cluster: Cluster) -> None:
    with writing(cluster, "crash", 75) as history:
        time.sleep(5)
        for host in PLANES:
            cluster.ssh(host, "pkill -9 -x etcd", check=False)
            time.sleep(5)
        for host in ("cp2", "cp3"):
            cluster.lab("crash", host)
            time.sleep(5)
            cluster.lab("start", host)
            time.sleep(12)
        for host in PLANES:  # all at once: nobody answers for a moment
            subprocess.Popen(["kdist", "lab", "crash", "--name", NAME, host], cwd=ROOT).wait()
        for host in PLANES:
            cluster.lab("start", host)
    whole(cluster)
    checked(cluster, history)


def leading(cluster: Cluster, among: set[str]) -> str | None:
    rows = status(cluster)["rows"]
    return next((row["name"] for row in rows if row["leader"] and row["name"] in among), None)


def test_a_leader_without_its_peers_acknowledges_nothing_that_is_lost(cluster: Cluster) -> None:
    """Clients still reach its API server; then the cable of another host is cut."""
    first = leading(cluster, set(PLANES))
    assert first
    others = set(PLANES) - {first}
    with writing(cluster, "parted", 60) as history:
        time.sleep(5)
        cluster.ssh(first, f"echo '{PARTED}' | nft -f -")
        second = eventually(lambda: leading(cluster, others), 30, f"{first} does not lead any more")
        time.sleep(5)
        cluster.ssh(first, "nft delete table inet parted")
        eventually(lambda: voters(cluster) == set(PLANES), 60, "they are three again")
        cluster.lab("cut", second)
        time.sleep(8)
        cluster.lab("heal", second)
    whole(cluster)
    checked(cluster, history)


def test_a_snapshot_is_taken_while_a_member_is_down(cluster: Cluster) -> None:
    cluster.lab("poweroff", "cp3")
    try:
        told = etcd(cluster, "snapshot", code=1)
        assert "cp1: 2" in told and "cp2: 2" in told and "no snapshot from cp3" in told
        assert "cp3 does not run" in etcd(cluster, "defrag", code=1)
    finally:
        cluster.lab("start", "cp3")
    whole(cluster)


def test_members_are_defragmented_one_at_a_time_while_clients_write(cluster: Cluster) -> None:
    with writing(cluster, "defrag", 25) as history:
        time.sleep(3)
        assert "3 members" in etcd(cluster, "defrag")
    checked(cluster, history)
    assert not [a for a in history if a.outcome == "unknown"], "a client noticed the defragmentation"


def test_a_lost_quorum_is_recovered_within_two_minutes_and_nothing_acknowledged_is_lost(
    cluster: Cluster,
) -> None:
    cluster.kubectl("delete", "pod", "steady", "--ignore-not-found")
    cluster.kubectl(
        "run", "steady", "--image=localhost/demo-web:0.1.0", "--overrides", '{"spec":{"nodeName":"w1"}}'
    )
    cluster.kubectl("wait", "--for=condition=Ready", "pod/steady", "--timeout=60s")
    before = cluster.get("pod", "steady")["status"]["containerStatuses"][0]["containerID"]
    with writing(cluster, "quorum", 20) as history:
        time.sleep(10)
        for host in ("cp2", "cp3"):
            cluster.lab("crash", host)
    server(cluster, "cp1")
    assert "etcd has no quorum" in etcd(cluster, "status", code=1)
    told = run(["kdist", "doctor", "-i", str(cluster.inventory), "-o", "json"], check=False, timeout=180)
    found = {finding["check"]: finding for finding in json.loads(told)}
    # What the API server answers; kubectl would try for minutes before it told.
    assert "see `kdist etcd status`" in found["api-down"]["cause"]
    assert "kdist etcd recover --lost cp2,cp3" in found["etcd-quorum"]["mend"]
    assert "cp2, cp3 cannot be asked" in etcd(cluster, "recover", "--yes", code=1)
    began = time.monotonic()
    told = etcd(cluster, "recover", "--lost", "cp2,cp3", "--yes")
    eventually(lambda: cluster.kubectl("create", "configmap", f"w-{time.time_ns()}"), 60, "a write")
    took = time.monotonic() - began
    print(f"\nlost quorum to a write: {took:.0f} s\n{told}")
    assert took < 120
    checked(cluster, history)
    after = cluster.get("pod", "steady")["status"]["containerStatuses"][0]
    assert (after["containerID"], after["restartCount"]) == (before, 0)


def test_lost_members_that_come_back_do_not_become_a_cluster_and_join_again(cluster: Cluster) -> None:
    for host in ("cp2", "cp3"):
        cluster.lab("start", host)
    for host in ("cp2", "cp3"):
        eventually(
            lambda host=host: (
                "removed from the cluster"
                in cluster.ssh(host, "cat /var/log/pods/kube-system_etcd-*/etcd/*.log | tail -n 200")
            ),
            90,
            f"etcd of {host} was told that it is no member",
        )
    assert "kdist etcd rejoin cp2" in etcd(cluster, "status", code=1)
    assert "members again" in etcd(cluster, "rejoin")
    whole(cluster)
    assert cluster.get("pod", "steady")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_a_full_database_says_what_to_do_and_is_mended(cluster: Cluster) -> None:
    hosts = cluster.inventory / "hosts.yml"
    document = yaml.safe_load(hosts.read_text())
    document["all"]["vars"]["kdist_etcd_quota_mib"] = 24
    hosts.write_text(yaml.safe_dump(document))
    cluster.playbook("site.yml", timeout=600)
    whole(cluster)

    def fill(number: int) -> str:
        metadata = {"name": f"fill-{number}", "labels": {"fill": "yes"}}
        content = {"metadata": metadata, "data": {"value": "x" * FILL}, "kind": "ConfigMap"}
        text = json.dumps({"apiVersion": "v1", **content})
        return cluster.kubectl("create", "-f", "-", input=text, check=False)

    cluster.kubectl("delete", "configmap", "-l", "fill=yes")
    number = next(n for n in range(200) if not fill(n))
    assert number > 3
    told = etcd(cluster, "alarms", code=1)
    assert "alarm NOSPACE" in told and "kdist etcd alarms --mend" in told and "configmaps" in told
    assert "kdist etcd alarms --mend" in etcd(cluster, "status", code=1)
    names = [f"fill-{n}" for n in range(number)]
    cluster.kubectl("delete", "configmap", *names)
    assert "no alarm is left" in etcd(cluster, "alarms", "--mend")
    assert cluster.kubectl("create", "configmap", f"after-{time.time_ns()}")


def small_disk(cluster: Cluster, host: str) -> None:
    """Give a member of etcd a disk of its own that a test can fill."""
    local = "/opt/kdist/current/bin/kdist etcd local"
    mount = "mount -t tmpfs -o size=500m,mode=700 tmpfs /var/lib/etcd"
    moved = f"mv /var/lib/etcd/member /root/ && {mount} && mv /root/member /var/lib/etcd/"
    cluster.ssh(host, f"{local} stop && {moved}; {local} start", timeout=150)
    whole(cluster)


def test_a_full_disk_stops_one_member_and_loses_nothing(cluster: Cluster) -> None:
    leads = next(row["name"] for row in status(cluster)["rows"] if row["leader"])
    small_disk(cluster, leads)
    with writing(cluster, "disk", 60) as history:
        time.sleep(5)
        cluster.ssh(leads, "dd if=/dev/zero of=/var/lib/etcd/filler bs=64k 2>/dev/null || true", timeout=120)
        eventually(lambda: leads not in voters(cluster), 50, f"the disk of {leads} stops its member")
        told = etcd(cluster, "status", code=1)
        assert f"{leads} has 0 MiB free where etcd writes" in told and f"make room on {leads}" in told
        assert "quorum: yes" in told
    cluster.ssh(leads, "rm /var/lib/etcd/filler")
    # The agent waits up to five minutes before it starts again what ended again and again.
    eventually(lambda: voters(cluster) == set(PLANES), 330, "the member is back")
    checked(cluster, history)


def test_every_host_is_lost_and_a_snapshot_becomes_the_cluster_on_new_ones(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.kubectl("delete", "deployment/web", "secret/kept", "--ignore-not-found")
    cluster.kubectl("create", "deployment", "web", "--image=localhost/demo-web:0.1.0")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    cluster.kubectl("create", "secret", "generic", "kept", "--from-literal=word=hidden")
    etcd(cluster, "snapshot", "--fetch", str(tmp_path / "snapshots"))
    snapshot = next((tmp_path / "snapshots").iterdir())
    hosts = (cluster.inventory / "hosts.yml").read_text()
    lab_up(cluster.inventory)
    (cluster.inventory / "hosts.yml").write_text(hosts)
    began = time.monotonic()
    told = etcd(cluster, "restore", str(snapshot))
    print(f"\nbare hosts to a restored cluster: {time.monotonic() - began:.0f} s\n{told}")
    whole(cluster)
    assert cluster.get("secret", "kept")["data"]["word"] == "aGlkZGVu"
    eventually(
        lambda: cluster.kubectl("rollout", "status", "deployment/web", "--timeout=5s"),
        120,
        "the pods run again",
    )
    cluster.kubectl("create", "configmap", "new-history")
