"""A worker with cgroup v2 alone, in a cluster whose control plane has cgroup v1: limits, tiers, OOM, removal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kdist.lab.plan import Host
from tests.e2e.conftest import ROOT, Cluster, changes, eventually, run
from tests.nightly import vm

NAME, SUBNET = "cg2", "10.95.0.0/24"
WORKER = Host("v1", "10.95.0.50", control_plane=False)
DISK = Path("/var/tmp/kdist-nightly-vm")
# The machine is emulated: everything on it takes ten times as long.
PATIENCE = 300


@pytest.fixture(scope="module")
def worker() -> Iterator[vm.Machine]:
    """A lab of one control plane, and a virtual machine on its network."""
    run(["kdist", "bundle", "build"], timeout=900)
    run(["kdist", "lab", "down", "--name", NAME])
    inventory = ROOT / "inventory" / f"lab-{NAME}"
    shutil.rmtree(inventory, ignore_errors=True)
    up = ["kdist", "lab", "up", "--name", NAME, "--subnet", SUBNET, "--hosts", "1"]
    run([*up, "--inventory", str(inventory / "hosts.yml")], timeout=400)
    try:
        with vm.machine(NAME, WORKER, DISK) as machine:
            vm.wait_until_settled(machine)
            yield machine
    finally:
        run(["kdist", "lab", "down", "--name", NAME])
        shutil.rmtree(inventory, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(worker: vm.Machine) -> Cluster:
    """The lab's control plane and the virtual machine as one cluster."""
    cluster = Cluster(ROOT / "inventory" / f"lab-{NAME}", NAME)
    hosts = cluster.inventory / "hosts.yml"
    content = yaml.safe_load(hosts.read_text())
    content["all"]["hosts"][WORKER.name] = {"ansible_host": WORKER.address}
    content["all"]["children"]["kube_node"]["hosts"] = {WORKER.name: {}}
    hosts.write_text(yaml.safe_dump(content))
    cluster.playbook("site.yml", timeout=1800)
    eventually(lambda: cluster.ready_nodes() == {"cp1", WORKER.name}, PATIENCE, "both nodes are Ready")
    return cluster


def pod(name: str, resources: dict[str, dict[str, str]], command: list[str]) -> str:
    container = {
        "name": "c",
        "image": "localhost/busybox:1.35.0",
        "command": command,
        "resources": resources,
        "imagePullPolicy": "Never",
    }
    spec = {"nodeName": WORKER.name, "restartPolicy": "Never", "terminationGracePeriodSeconds": 1}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {**spec, "containers": [container]},
        }
    )


def slice_of(cluster: Cluster, name: str, tier: str) -> str:
    """The pod's cgroup, as systemd names it."""
    uid = cluster.get("pod", name)["metadata"]["uid"].replace("-", "_")
    inner = f"kubepods-{tier}.slice/kubepods-{tier}-pod{uid}.slice" if tier else f"kubepods-pod{uid}.slice"
    return f"/sys/fs/cgroup/kubepods.slice/{inner}"


def test_the_host_has_cgroup_v2_alone_and_systemd_makes_the_cgroups(
    worker: vm.Machine, cluster: Cluster
) -> None:
    assert worker.ssh("stat -f -c %T /sys/fs/cgroup").strip() == "cgroup2fs"
    assert "SystemdCgroup = true" in worker.ssh("cat /etc/containerd/config.toml")
    assert "SystemdCgroup = false" in cluster.ssh("cp1", "cat /etc/containerd/config.toml")


def test_requests_and_limits_are_those_of_the_cgroup(worker: vm.Machine, cluster: Cluster) -> None:
    limits = {
        "requests": {"cpu": "250m", "memory": "32Mi"},
        "limits": {"cpu": "500m", "memory": "64Mi"},
    }
    cluster.apply(pod("limited", limits, ["sleep", "100000"]))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/limited", f"--timeout={PATIENCE}s", timeout=330)
    directory = slice_of(cluster, "limited", "burstable")
    read = worker.ssh(f"cd {directory}; cat memory.max cpu.max cpu.weight; cat */memory.max")
    memory, cpu, weight, *inner = read.splitlines()
    assert (memory, cpu) == (str(64 << 20), "50000 100000")
    assert int(weight) == 10  # of 256 shares, as runc and upstream convert them
    assert str(64 << 20) in inner
    assert cluster.kubectl("exec", "limited", "--", "echo", "hello", timeout=120).strip() == "hello"


def test_a_container_beyond_its_memory_is_killed_and_told_so(cluster: Cluster) -> None:
    limits = {"limits": {"cpu": "500m", "memory": "24Mi"}, "requests": {"cpu": "500m", "memory": "24Mi"}}
    cluster.apply(pod("greedy", limits, ["sh", "-c", "tail /dev/zero"]))

    def reason() -> str:
        statuses = cluster.get("pod", "greedy")["status"].get("containerStatuses") or [{}]
        return str(statuses[0].get("state", {}).get("terminated", {}).get("reason", ""))

    eventually(lambda: reason() == "OOMKilled", PATIENCE, "the container is OOMKilled")


def test_a_removed_pod_leaves_no_cgroup(worker: vm.Machine, cluster: Cluster) -> None:
    directory = slice_of(cluster, "limited", "burstable")
    cluster.kubectl("delete", "pod", "limited", "greedy", timeout=PATIENCE)
    eventually(
        lambda: worker.ssh(f"ls -d {directory} 2>/dev/null || true") == "", PATIENCE, "no slice is left"
    )


def test_a_second_run_changes_nothing(worker: vm.Machine, cluster: Cluster) -> None:
    recap = changes(cluster.playbook("site.yml", timeout=900))
    assert {host: row["changed"] for host, row in recap.items()} == {"cp1": 0, WORKER.name: 0}
