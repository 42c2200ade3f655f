"""Before and after: a plan is what the run then does, and reset leaves hosts as they were before."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from kdist.lifecycle.operation.runner import Event, run_playbook
from kdist.lifecycle.operation.site import Site
from tests.e2e.conftest import ROOT, Cluster, eventually, run
from tests.e2e.upgrading import NEW_LEVEL, set_level

NAME, SUBNET = "reset", "10.86.0.0/24"
HOSTS = ("cp1", "w1")
STATE = Path(__file__).with_name("hoststate.py").read_text()
# What a host may have had before: a file and a sysctl that kdist changes, a table and a route that it must not touch.
EARLIER = (
    "echo 'runtime-endpoint: elsewhere' > /etc/crictl.yaml; chmod 640 /etc/crictl.yaml; "
    "mkdir -p /etc/cni/net.d; echo '{}' > /etc/cni/net.d/99-mine.conf.disabled; "
    "ip link add mine type bridge; ip route add 192.0.2.0/24 via 10.86.0.1; sysctl -qw net.ipv4.ip_forward=0"
)
# Nobody logs in to the worker as root: a user with sudo does.
USER = (
    "useradd --create-home --shell /bin/bash op; echo 'op ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/op; "
    "install -D -o op -m 600 /root/.ssh/authorized_keys /home/op/.ssh/authorized_keys; chown op /home/op/.ssh"
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
    command = ["kdist", "lab", "ssh", "--name", cluster.name, host, "python3", "-"]
    found: dict[str, Any] = json.loads(run(command, input=STATE))
    inside = ["nsenter", f"--net=/run/netns/kdist-{cluster.name}-{host}"]
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


@dataclass(frozen=True)
class Installed:
    """A cluster, how its hosts were before, what was planned for them and what was done."""

    cluster: Cluster
    before: dict[str, dict[str, Any]]
    planned: set[tuple[str, str]]
    done: set[tuple[str, str]]


def planned(inventory: Path) -> set[tuple[str, str]]:
    """Host and task of every change that ``kdist plan`` tells of."""
    told = json.loads(run(["kdist", "plan", "-i", str(inventory), "-o", "json"], timeout=300))
    return {(change["host"], change["task"]) for change in told}


def done(inventory: Path) -> set[tuple[str, str]]:
    """Host and task of every change that ``site.yml`` makes."""
    events: list[Event] = []

    async def go() -> None:
        site = await Site.load(inventory)
        await run_playbook(site, "site.yml", None, on_event=events.append)

    asyncio.run(go())
    return {(e.host, e.task.rpartition(" : ")[2]) for e in events if e.kind == "changed"}


def set_variables(inventory: Path, host: str, variables: dict[str, Any]) -> None:
    """Variables of a host in the inventory."""
    path = inventory / "hosts.yml"
    hosts = yaml.safe_load(path.read_text())
    hosts["all"]["hosts"][host] |= variables
    path.write_text(yaml.safe_dump(hosts))


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    """Two hosts that carry a cluster, at another API level than the default from its first install."""
    inventory = ROOT / "inventory" / "lab-reset"
    run(["kdist", "bundle", "build"], timeout=900)
    run(["kdist", "lab", "down", "--name", NAME])
    size = ["--hosts", str(len(HOSTS)), "--subnet", SUBNET, "--inventory", str(inventory / "hosts.yml")]
    run(["kdist", "lab", "up", "--name", NAME, *size], timeout=400)
    (inventory / "admin.conf").unlink(missing_ok=True)
    set_level(inventory, NEW_LEVEL)
    cluster = Cluster(inventory, NAME)
    cluster.ssh("w1", USER)
    set_variables(inventory, "w1", {"ansible_user": "op", "ansible_become": True})
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
    told = planned(inventory)
    assert {host: differences(before[host], state(cluster, host)) for host in HOSTS} == {
        host: {} for host in HOSTS
    }
    yield Installed(cluster, before, told, done(inventory))
    if not os.environ.get("KEEP_LAB"):
        run(["kdist", "lab", "down", "--name", NAME])
        shutil.rmtree(inventory, ignore_errors=True)


def reset(cluster: Cluster, *arguments: str) -> str:
    return run(["kdist", "reset", "-i", str(cluster.inventory), "--yes", *arguments], timeout=300)


def test_the_plan_for_empty_hosts_is_what_the_run_did(installed: Installed) -> None:
    assert installed.planned == installed.done
    assert {host for host, _ in installed.planned} == set(HOSTS)


def test_the_first_install_serves_the_api_level_of_the_cluster_file(installed: Installed) -> None:
    told = json.loads(installed.cluster.kubectl("version", "-o", "json"))["serverVersion"]
    assert (told["major"], told["minor"]) == tuple(NEW_LEVEL.split("."))
    assert told["gitVersion"].startswith(f"v{NEW_LEVEL}.0+kdist.")
    nodes = installed.cluster.get("nodes")["items"]
    assert {n["status"]["nodeInfo"]["kubeletVersion"] for n in nodes} == {told["gitVersion"]}


def test_the_plan_for_a_running_cluster_is_what_the_run_does(installed: Installed) -> None:
    set_variables(installed.cluster.inventory, "w1", {"kdist_node_labels": {"disk": "fast"}})
    told = planned(installed.cluster.inventory)
    assert told == {("w1", "Configure the agent"), ("w1", "Restart the agent")}
    assert done(installed.cluster.inventory) == told


def test_flags_and_the_way_of_pods_change_on_a_running_cluster(installed: Installed) -> None:
    cluster = installed.cluster
    flags = {"kube-apiserver": {"max-requests-inflight": 777}, "kubelet": {"container-log-max-files": 3}}
    path = cluster.inventory / "hosts.yml"
    hosts = yaml.safe_load(path.read_text())
    hosts["all"]["vars"] |= {"kdist_component_flags": flags, "kdist_pod_encapsulation": "always"}
    path.write_text(yaml.safe_dump(hosts))
    cluster.playbook("site.yml", timeout=600)
    assert "--max-requests-inflight=777" in cluster.ssh("cp1", "pgrep -af 'kdist apiserver'")
    assert "--container-log-max-files=3" in cluster.ssh("w1", "pgrep -af 'kdist agent'")
    cluster.kubectl("rollout", "status", "daemonset/kdist-net", "-n", "kube-system", "--timeout=90s")
    tunnelled = "ip -d route show | grep -c 10.244 ; ip -d link show type vxlan | grep -c vxlan"
    eventually(
        lambda: "0" not in cluster.ssh("w1", tunnelled).split(), 30, "pods of other hosts through VXLAN"
    )


def test_one_worker_is_reset_and_joins_again(installed: Installed) -> None:
    cluster = installed.cluster
    cluster.apply(TRACES)
    pods = ["pod/traces", "pod/storage"]
    cluster.kubectl("wait", "--for=condition=Ready", *pods, "--timeout=90s")
    would = reset(cluster, "--limit", "w1", "--check")
    assert "WOULD BE TAKEN AWAY" in would
    assert cluster.ready_nodes() == set(HOSTS)
    reset(cluster, "--limit", "w1")
    assert differences(installed.before["w1"], state(cluster, "w1")) == {}
    eventually(lambda: cluster.ready_nodes() == {"cp1"}, 90, "the control plane goes on without it")
    cluster.playbook("site.yml", "--limit", "w1", timeout=600)
    eventually(lambda: cluster.ready_nodes() == set(HOSTS), 90, "the worker is back")


def test_every_host_is_reset_and_a_second_reset_finds_nothing(installed: Installed) -> None:
    reset(installed.cluster)
    for host in HOSTS:
        assert differences(installed.before[host], state(installed.cluster, host)) == {}
    again = reset(installed.cluster)
    assert again.count("nothing: there is nothing of kdist here") == len(HOSTS)
