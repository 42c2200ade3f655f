"""Any one of three control planes dies, by what it leads: workloads see nothing of it, clients of the API little."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import CONTROL_PLANES, Cluster, eventually, grown, run
from tests.e2e.upgrading import load, lost_writes

__all__ = ["grown"]  # the cluster of tests/e2e
HOSTS = {*CONTROL_PLANES, "w1"}
ADDRESS = "kdist-vip"
LEASES = (ADDRESS, "kube-controller-manager", "kube-scheduler")
# What the loss of a control plane may cost the clients of the API.
API_SECONDS = 5
BOTH, LEADER, NEITHER = (
    "holder of the address and leader of etcd",
    "leader of etcd alone",
    "neither of the two",
)
PKI = "--cacert=ca.crt --cert=healthcheck-client.crt --key=healthcheck-client.key"
WEB = """
apiVersion: v1
kind: Namespace
metadata: {name: upgrade-load}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      nodeName: w1
      containers:
        - name: web
          image: "localhost/demo-web:0.1.0"
          readinessProbe: {httpGet: {path: /, port: 8080}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""


def holder(cluster: Cluster, name: str) -> str:
    lease = cluster.get("lease", "-n", "kube-system", name)
    return str(lease["spec"]["holderIdentity"])


def address(cluster: Cluster, host: str) -> str:
    found = cluster.get("node", host)["status"]["addresses"]
    return next(str(a["address"]) for a in found if a["type"] == "InternalIP")


def etcds(cluster: Cluster) -> dict[str, Any]:
    """Member to what `kdist etcd status` tells about it; only those that run."""
    told = run(
        ["kdist", "etcd", "status", "--output", "json", "-i", str(cluster.inventory)], check=False, timeout=60
    )
    return {row["name"]: row for row in json.loads(told)["rows"] if row["running"]}


def leader(cluster: Cluster) -> str:
    return next(name for name, row in etcds(cluster).items() if row["leader"])


def lead(cluster: Cluster, host: str) -> None:
    """Have a host's member lead etcd."""
    if (leads := leader(cluster)) != host:
        to = int(etcds(cluster)[host]["id"])
        cluster.ssh(leads, f"cd /etc/kubernetes/pki/etcd && ETCDCTL_API=3 etcdctl {PKI} move-leader {to:x}")
        eventually(lambda: leader(cluster) == host, 20, f"{host} leads etcd")


def chosen(cluster: Cluster, role: str) -> str:
    """The host that has a role, after etcd's leader was moved to where the role says."""
    held = holder(cluster, ADDRESS)
    other, third = (name for name in CONTROL_PLANES if name != held)
    if role == BOTH:
        lead(cluster, held)
        return held
    lead(cluster, other)
    return other if role == LEADER else third


def containers(cluster: Cluster) -> dict[str, Any]:
    """What runs on the worker, with its restarts."""
    pods = cluster.get("pods", "-l", "app=web")["items"]
    return {p["metadata"]["name"]: p["status"]["containerStatuses"][0]["containerID"] for p in pods}


@pytest.fixture(scope="module")
def web(grown: Cluster) -> Iterator[str]:
    """A web service whose pods run on the worker; its URL there."""
    grown.apply(WEB)
    grown.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    port = grown.get("service", "web")["spec"]["ports"][0]["nodePort"]
    yield f"http://{address(grown, 'w1')}:{port}/"
    grown.kubectl("delete", "service/web", "namespace/upgrade-load", "--wait=false")
    grown.kubectl("delete", "deployments", "--all", "--wait=false")


@pytest.mark.parametrize("role", [NEITHER, LEADER, BOTH])
def test_any_control_plane_may_die(grown: Cluster, web: str, role: str) -> None:
    lost = chosen(grown, role)
    leading = {name: holder(grown, name) for name in LEASES}
    before, after = containers(grown), f"after-{role.split()[0]}"
    seen: dict[str, Any] = {}
    with load(grown, seen, web):
        eventually(lambda: grown.http(web), 10, "the service answers")
        died = time.time()
        grown.lab("crash", lost)
        # Controllers and scheduler go on: whoever held their leases has gone, or not.
        create = ("create", "deployment", after, "--image=localhost/demo-web:0.1.0")
        there = ("get", "deployment", after, "-o", "name")  # made, but the answer was lost
        eventually(
            lambda: grown.kubectl(*create, check=False) or grown.kubectl(*there, check=False),
            60,
            "a write by the address",
        )
        grown.kubectl("rollout", "status", f"deployment/{after}", "--timeout=90s")
        eventually(lambda: time.time() > died + 2 * API_SECONDS, 60, "clients went on for a while")
    failed = [*seen["writes"]["failures"], *seen["reads"]["failures"]]
    gap = max((at - died for at, _ in failed), default=0)
    print(
        f"\n{role} ({lost}; leases: {leading}) died: the last of {len(failed)} requests that failed began "
        f"{gap:.1f} s later; {seen['writes']['done']} writes, {seen['service']['done']} visits to the service"
    )
    assert gap <= API_SECONDS, failed
    assert seen["service"]["failures"] == []
    assert lost_writes(grown, seen) == set()
    assert containers(grown).items() >= before.items()
    assert holder(grown, ADDRESS) != lost
    grown.lab("start", lost)
    eventually(lambda: grown.ready_nodes() == HOSTS, 120, "the lost host is back")
    eventually(lambda: set(etcds(grown)) == set(CONTROL_PLANES), 60, "every member of etcd runs")
    server = f"https://{address(grown, lost)}:6443"
    eventually(lambda: grown.kubectl("--server", server, "get", "--raw", "/readyz"), 90, "its API server")
