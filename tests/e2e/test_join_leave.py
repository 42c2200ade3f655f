"""Hosts come and go: a worker among a thousand, its certificates, a host that is switched off, a control plane.

The cluster is that of the high-availability tests; the last test here takes its lab down.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import (
    CONTROL_PLANES,
    FIRST,
    HA,
    HA_NET,
    Cluster,
    changes,
    eventually,
    members,
    only,
    run,
    write,
)

# They exist in the inventory only: whoever talks to one of them waits for ever.
PHANTOMS = {f"far{n}": {"ansible_host": f"198.18.{n // 250}.{n % 250 + 1}"} for n in range(1000)}
CLIENT = "/var/lib/kubelet/pki/kubelet-client-current.pem"
# Signed as the cluster signs, for another minute: nine tenths of its life are over.
SHORT_LIVED = """
import datetime, pathlib, sys
sys.path.insert(0, "/opt/kdist/current/lib")
from kdist.pki import issue, plan
pki = pathlib.Path("/etc/kubernetes/pki")
pair = issue.Pair((pki / "ca.crt").read_bytes(), (pki / "ca.key").read_bytes())
leaf, key = plan.node_client(plan.Host("w2", "", False)), issue.new_key()
print((issue.sign(leaf, issue.request(leaf, key), pair, datetime.timedelta(seconds=60)) + key).decode())
"""


WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      nodeName: w2
      containers: [{name: web, image: "localhost/demo-web:0.1.0"}]
"""


@pytest.fixture(scope="module", autouse=True)
def lab_ends_here() -> Iterator[None]:
    """Nobody needs the lab any more: idle hosts cost the tests that follow."""
    yield
    if not os.environ.get("KEEP_LAB"):
        run(["kdist", "lab", "down", "--name", HA])


def inventory_of(cluster: Cluster, hosts: set[str], phantoms: bool = False) -> None:
    whole = yaml.safe_load((cluster.inventory / "every-host.txt").read_text())
    content = only(whole, hosts)
    if phantoms:
        content["all"]["hosts"] |= PHANTOMS
        content["all"]["children"]["kube_node"]["hosts"] |= dict.fromkeys(PHANTOMS)
    write(cluster.inventory, content)


def remove(cluster: Cluster, *arguments: str, check: bool = True) -> str:
    return run(["kdist", "remove", "-i", str(cluster.inventory), *arguments], timeout=400, check=check)


def tokens(cluster: Cluster) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.get(
        "secrets", "-n", "kube-system", "--field-selector", "type=bootstrap.kubernetes.io/token"
    )["items"]
    return found


def test_one_worker_is_added_and_a_thousand_others_are_left_alone(grown: Cluster) -> None:
    inventory_of(grown, {*FIRST, *CONTROL_PLANES, "w2"}, phantoms=True)
    began = time.monotonic()
    recap = changes(grown.playbook("site.yml", "--limit", "w2"))
    print(f"\nadded among {len(PHANTOMS)} hosts in {time.monotonic() - began:.1f} s")
    assert set(recap) == {"w2"}
    assert "w2" in grown.ready_nodes()
    assert tokens(grown) == [], "the bootstrap token has ended"
    assert "PRIVATE KEY" not in grown.ssh("w2", "cat /etc/kubernetes/*.conf")
    again = changes(grown.playbook("site.yml", "--limit", "w2"))
    assert again["w2"]["changed"] == 0


def test_a_certificate_is_renewed_while_agent_and_pods_go_on(grown: Cluster) -> None:
    inventory_of(grown, {*FIRST, *CONTROL_PLANES, "w2"})
    grown.apply(WEB)
    grown.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    before = containers(grown)
    agent = grown.ssh("w2", "systemctl show -P MainPID kdist-agent")
    ending = run(
        ["kdist", "lab", "ssh", "--name", HA, "cp1", f"python3 -c '{SHORT_LIVED}'"], timeout=60
    ).strip()
    grown.ssh("w2", f"umask 077; echo '{ending}' > {CLIENT}.new && mv {CLIENT}.new {CLIENT}")
    eventually(lambda: ending not in grown.ssh("w2", f"cat {CLIENT}"), 60, "a new certificate")
    grown.ssh("w2", f"openssl x509 -checkend 86400 -noout -in {CLIENT}")
    assert grown.ssh("w2", "systemctl show -P MainPID kdist-agent") == agent
    assert containers(grown) == before
    eventually(
        lambda: grown.kubectl("logs", "deployment/web", "--tail=1") is not None, 30, "logs by the node's port"
    )


def containers(cluster: Cluster) -> dict[str, Any]:
    pods = cluster.get("pods", "-l", "app=web")["items"]
    return {p["metadata"]["name"]: p["status"]["containerStatuses"][0]["containerID"] for p in pods}


def test_a_worker_that_is_switched_off_is_removed(grown: Cluster) -> None:
    grown.kubectl(
        "patch",
        "deployment",
        "web",
        "--type=json",
        "-p",
        '[{"op":"remove","path":"/spec/template/spec/nodeName"}]',
    )
    grown.lab("poweroff", "w2")
    told = remove(grown, "w2", "--yes")
    assert "does not answer over ssh" in told
    assert "w2" not in grown.kubectl("get", "nodes")
    assert "w2" not in grown.kubectl("get", "leases", "-n", "kube-node-lease")
    assert "system:node:w2" not in grown.kubectl("get", "csr")
    grown.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    inventory_of(grown, {*FIRST, *CONTROL_PLANES})


def test_a_removed_worker_that_is_switched_on_stays_away(grown: Cluster) -> None:
    grown.lab("start", "w2")
    log = "journalctl --unit kdist-agent --boot --output cat"
    eventually(lambda: "node w2 was removed from the cluster at" in grown.ssh("w2", log), 90, "it is refused")
    assert "w2" not in grown.kubectl("get", "nodes")
    found = eventually(lambda: removed_nodes(grown), 30, "that it asks is known")
    assert [(one["subject"], one["finding"]) for one in found] == [
        ("w2", "was removed and is on: it asks to come in")
    ]


def removed_nodes(cluster: Cluster) -> list[dict[str, str]]:
    """What doctor says of nodes that were removed."""
    told = run(["kdist", "doctor", "-i", str(cluster.inventory), "--output", "json"], check=False)
    return [one for one in json.loads(told) if one["check"] == "node-removed"]


def test_it_comes_back_by_a_token_without_a_way_to_any_control_plane(grown: Cluster) -> None:
    inventory_of(grown, {*FIRST, *CONTROL_PLANES, "w2"})
    without_control_planes(grown)
    admin = ["--kubeconfig", str(grown.inventory / "admin.conf")]
    made = json.loads(run([*grown.inside("nsenter"), "kdist", "token", "create", *admin, "--output", "json"]))
    given = ["-e", f"kdist_join_token={made['token']}", "-e", f"kdist_join_ca_hash={made['caHash']}"]
    recap = changes(grown.playbook("site.yml", "--limit", "w2", *given))
    assert set(recap) == {"w2"}
    eventually(lambda: "w2" in grown.ready_nodes(), 60, "w2 is a node again")
    assert changes(grown.playbook("site.yml", "--limit", "w2", *given))["w2"]["changed"] == 0
    run([*grown.inside("nsenter"), "kdist", "token", "delete", made["token"], *admin])
    assert tokens(grown) == []
    inventory_of(grown, {*FIRST, *CONTROL_PLANES, "w2"})
    assert removed_nodes(grown) == []
    remove(grown, "w2", "--yes")
    assert "w2" not in grown.kubectl("get", "nodes")
    inventory_of(grown, {*FIRST, *CONTROL_PLANES})


def without_control_planes(cluster: Cluster) -> None:
    """The inventory of an operator who may not log in to control planes: whoever tries waits for ever."""
    content = yaml.safe_load((cluster.inventory / "hosts.yml").read_text())
    for name in CONTROL_PLANES:
        host = content["all"]["hosts"][name]
        host |= {
            "kdist_node_ip": host.get("kdist_node_ip", host["ansible_host"]),
            "ansible_host": "198.18.9.9",
        }
    write(cluster.inventory, content)


def test_a_control_plane_is_removed_and_its_host_is_clean(grown: Cluster) -> None:
    refused = json.loads(remove(grown, "cp3", "--check", "--output", "json"))
    assert [row["name"] for row in refused] == ["cp3"]
    assert members(grown, "cp1") == dict.fromkeys(CONTROL_PLANES, True), "--check changes nothing"
    remove(grown, "cp3", "--yes")
    assert members(grown, "cp1") == {"cp1": True, "cp2": True}
    assert grown.ready_nodes() == {"cp1", "cp2", "w1"}
    assert grown.ssh("cp3", "ls -d /etc/kubernetes /opt/kdist 2>/dev/null || true") == ""
    info = grown.get("configmap", "cluster-info", "-n", "kube-public")["data"]["kubeconfig"]
    assert f"{HA_NET}.12" in info
    assert f"{HA_NET}.13" not in info
    inventory_of(grown, {"cp1", "cp2", "w1"})
    recap = changes(grown.playbook("site.yml"))
    # The removal touched no worker: its kubeconfig lists a server fewer from now on.
    assert {host: row["changed"] for host, row in recap.items()} == {"cp1": 0, "cp2": 0, "w1": 1}
