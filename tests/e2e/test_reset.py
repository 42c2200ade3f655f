"""Reset leaves hosts as they were: files, packages, units, links, routes, nftables, mounts, sysctls, cgroups."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, Cluster, eventually, run

NAME, SUBNET = "hc-reset", "10.86.0.0/24"
HOSTS = ("cp1", "w1")
STATE = Path(__file__).with_name("hoststate.py").read_text()
# What a host may have had before: a file and a sysctl that kdist changes, a table and a route that it must not touch.
EARLIER = (
    "echo 'runtime-endpoint: elsewhere' > /etc/crictl.yaml; chmod 640 /etc/crictl.yaml; "
    "mkdir -p /etc/cni/net.d; echo '{}' > /etc/cni/net.d/99-mine.conf.disabled; "
    "ip link add mine type bridge; ip route add 192.0.2.0/24 via 10.86.0.1; sysctl -qw net.ipv4.ip_forward=0"
)
# A pod with everything that leaves traces: volumes of each kind, a host port, a claim.
TRACES = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: claim}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 8Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: traces, labels: {app: traces}}
spec:
  nodeName: w1
  containers:
    - name: web
      image: localhost/demo-web:0.1.0
      ports: [{containerPort: 8080, hostPort: 8088}]
      volumeMounts: [{name: memory, mountPath: /memory}, {name: disk, mountPath: /disk}]
  volumes: [{name: memory, emptyDir: {medium: Memory}}, {name: disk, emptyDir: {}}]
---
apiVersion: v1
kind: Pod
metadata: {name: storage}
spec:
  containers:
    - name: web
      image: localhost/demo-web:0.1.0
      volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: claim}}]
---
apiVersion: v1
kind: Service
metadata: {name: traces}
spec: {type: NodePort, selector: {app: traces}, ports: [{port: 80, targetPort: 8080, nodePort: 30088}]}
"""


def state(cluster: Cluster, host: str) -> dict[str, Any]:
    """The host as tests/e2e/hoststate.py sees it, and its nftables from outside: it may have no tool for them."""
    command = ["kdist", "lab", "ssh", "--name", NAME, host, "python3", "-"]
    found: dict[str, Any] = json.loads(run(command, input=STATE))
    inside = ["nsenter", f"--net=/run/netns/kdist-{NAME}-{host}"]
    return found | {"nftables": run([*inside, "nft", "list", "ruleset"]).splitlines()}


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What is not as it was, part by part."""
    found: dict[str, Any] = {}
    for part, old in before.items():
        new = after[part]
        if isinstance(old, dict):
            names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
            found |= {f"{part} {name}": (old.get(name), new.get(name)) for name in names}
        elif old != new:
            gone, come = [x for x in old if x not in new], [x for x in new if x not in old]
            found[part] = {"gone": gone, "come": come}
    return found


@pytest.fixture(scope="module")
def before_and_cluster() -> Iterator[tuple[dict[str, dict[str, Any]], Cluster]]:
    """How two hosts were, and the cluster that they are now."""
    inventory = ROOT / "inventory" / "lab-hc-reset"
    run(["kdist", "bundle", "build"], timeout=900)
    run(["kdist", "lab", "down", "--name", NAME])
    size = ["--hosts", str(len(HOSTS)), "--subnet", SUBNET, "--inventory", str(inventory / "hosts.yml")]
    run(["kdist", "lab", "up", "--name", NAME, *size], timeout=400)
    cluster = Cluster(inventory, NAME)
    for host in HOSTS:
        cluster.ssh(host, EARLIER)
        inside = ["nsenter", f"--net=/run/netns/kdist-{NAME}-{host}"]
        run(
            [
                *inside,
                "nft",
                "add table inet mine; add chain inet mine input; add rule inet mine input accept",
            ]
        )
    before = {host: state(cluster, host) for host in HOSTS}
    cluster.playbook("site.yml", timeout=600)
    yield before, cluster
    if not os.environ.get("KEEP_LAB"):
        run(["kdist", "lab", "down", "--name", NAME])
        shutil.rmtree(inventory, ignore_errors=True)


def reset(cluster: Cluster, *arguments: str) -> str:
    return run(["kdist", "reset", "-i", str(cluster.inventory), "--yes", *arguments], timeout=300)


def test_one_worker_is_reset_and_joins_again(
    before_and_cluster: tuple[dict[str, dict[str, Any]], Cluster],
) -> None:
    before, cluster = before_and_cluster
    cluster.apply(TRACES)
    pods = ["pod/traces", "pod/storage"]
    cluster.kubectl("wait", "--for=condition=Ready", *pods, "--timeout=90s")
    would = reset(cluster, "--limit", "w1", "--check")
    assert "WOULD BE TAKEN AWAY" in would
    assert cluster.ready_nodes() == set(HOSTS)
    reset(cluster, "--limit", "w1")
    assert differences(before["w1"], state(cluster, "w1")) == {}
    eventually(lambda: cluster.ready_nodes() == {"cp1"}, 90, "the control plane goes on without it")
    cluster.playbook("site.yml", "--limit", "w1", timeout=600)
    eventually(lambda: cluster.ready_nodes() == set(HOSTS), 90, "the worker is back")


def test_every_host_is_reset_and_a_second_reset_finds_nothing(
    before_and_cluster: tuple[dict[str, dict[str, Any]], Cluster],
) -> None:
    before, cluster = before_and_cluster
    reset(cluster)
    for host in HOSTS:
        assert differences(before[host], state(cluster, host)) == {}
    again = reset(cluster)
    assert again.count("nothing: there is nothing of kdist here") == len(HOSTS)
