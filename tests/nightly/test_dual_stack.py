"""Pods and Services with an address of each family: from the first run on, and in a cluster that becomes so later."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import ROOT, Cluster, changes, eventually, run

NAME, SUBNET, SUBNET6 = "dual", "10.97.0.0/24", "fd97::/64"
HOSTS = {"cp1": "fd97::11", "w1": "fd97::12", "w2": "fd97::13"}
NETWORKS = {
    "kdist_pod_cidr": "10.244.0.0/16,fd00:244::/56",
    "kdist_service_cidr": "10.96.0.0/16,fd00:96::/112",
}
PODS, SERVICES = (tuple(ipaddress.ip_network(part) for part in text.split(",")) for text in NETWORKS.values())
WEB = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: web
          image: localhost/demo-web:0.1.0
          readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
"""
SERVICE = """
---
apiVersion: v1
kind: Service
metadata: {name: %s}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080, nodePort: %s}]
"""
BOTH = SERVICE % ("both", 30081) + "  ipFamilyPolicy: RequireDualStack\n"
ONLY6 = SERVICE % ("only6", 30082) + "  ipFamilies: [IPv6]\n"
HEADLESS = """
---
apiVersion: v1
kind: Service
metadata: {name: peers}
spec: {clusterIP: None, ipFamilyPolicy: PreferDualStack, selector: {app: web}, ports: [{name: http, port: 8080}]}
"""


def made(dual: bool, /, **settings: str) -> Cluster:
    """A cluster with these ``settings``, on a fresh lab of hosts with two addresses each."""
    inventory = ROOT / "inventory" / "lab-dual"
    run(["kdist", "bundle", "build"], timeout=900)
    run(["kdist", "lab", "down", "--name", NAME])
    shutil.rmtree(inventory, ignore_errors=True)
    networks = ["--subnet", SUBNET, "--subnet6", SUBNET6]
    run(
        ["kdist", "lab", "up", "--name", NAME, *networks, "--inventory", str(inventory / "hosts.yml")],
        timeout=400,
    )
    cluster = Cluster(inventory, NAME)
    change(cluster, dual, **settings)
    cluster.playbook("site.yml", timeout=900)
    return cluster


def gone(cluster: Cluster) -> None:
    if not os.environ.get("KEEP_LAB"):
        run(["kdist", "lab", "down", "--name", NAME])
        shutil.rmtree(cluster.inventory, ignore_errors=True)


def change(cluster: Cluster, dual: bool = True, /, **settings: str) -> None:
    """Change the cluster file; ``dual``: hosts have their IPv6 addresses in it."""
    hosts = cluster.inventory / "hosts.yml"
    inventory = yaml.safe_load(hosts.read_text())
    inventory["all"]["vars"] |= settings
    for name, host in inventory["all"]["hosts"].items():
        address = host["ansible_host"]
        host["kdist_node_ip"] = f"{address},{HOSTS[name]}" if dual else address
    hosts.write_text(yaml.safe_dump(inventory))


@pytest.fixture(scope="module")
def site() -> Iterator[Cluster]:
    """A cluster that was dual-stack from the first run on."""
    reused = bool(os.environ.get("REUSE_LAB"))
    cluster = Cluster(ROOT / "inventory" / "lab-dual", NAME) if reused else made(True, **NETWORKS)
    yield cluster
    gone(cluster)


@pytest.fixture
def single() -> Iterator[Cluster]:
    """A cluster of IPv4 alone, on hosts that tell of IPv4 alone. It takes the place of the other one: it comes last."""
    cluster = made(False)
    yield cluster
    gone(cluster)


def web_pods(cluster: Cluster) -> list[dict[str, Any]]:
    """The pods of DaemonSet web, all ready, one on each worker."""
    cluster.apply(WEB)
    cluster.kubectl("rollout", "status", "daemonset/web", "--timeout=120s")
    pods: list[dict[str, Any]] = cluster.get("pods", "-l", "app=web")["items"]
    assert {pod["spec"]["nodeName"] for pod in pods} == {"w1", "w2"}
    return pods


def ips(pod: dict[str, Any], field: str = "podIPs") -> list[str]:
    return [entry["ip"] for entry in pod["status"][field]]


def url(address: str, port: int) -> str:
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def asks(cluster: Cluster, pod: dict[str, Any], where: str) -> str:
    """What a pod gets from a URL."""
    command = ("exec", pod["metadata"]["name"], "--", "wget", "-q", "-O", "-", where)
    return cluster.kubectl(*command).strip()


def serves(cluster: Cluster, pods: list[dict[str, Any]]) -> None:
    """Everything that a dual-stack cluster promises, with pods that have both addresses."""
    names = {pod["metadata"]["name"] for pod in pods}
    cluster.apply(BOTH + ONLY6 + HEADLESS)
    for pod in pods:
        addresses = [ipaddress.ip_address(ip) for ip in ips(pod)]
        assert [a in network for a, network in zip(addresses, PODS, strict=True)] == [True, True]
        assert ips(pod, "hostIPs")[1] == HOSTS[pod["spec"]["nodeName"]]
    _pods_reach_each_other(cluster, pods)
    _services_answer(cluster, pods, names)
    _names_are_known(cluster, pods)


def _pods_reach_each_other(cluster: Cluster, pods: list[dict[str, Any]]) -> None:
    for asking in pods:
        for asked in pods:
            for address in ips(asked):
                answer = asks(cluster, asking, url(address, 8080))
                assert asked["metadata"]["name"] in answer
    for host in HOSTS:
        for pod in pods:
            cluster.ssh(host, f"ping -c1 -W2 {ips(pod)[1]}")


def _services_answer(cluster: Cluster, pods: list[dict[str, Any]], names: set[str]) -> None:
    both, only6 = (cluster.get("service", name)["spec"] for name in ("both", "only6"))
    assert both["ipFamilies"] == ["IPv4", "IPv6"]
    assert [ipaddress.ip_address(a) in n for a, n in zip(both["clusterIPs"], SERVICES, strict=True)] == [
        True,
        True,
    ]
    assert (only6["ipFamilies"], only6["ipFamilyPolicy"]) == (["IPv6"], "SingleStack")

    def endpoints() -> dict[str, int]:
        found = cluster.get("endpointslices", "-l", "kubernetes.io/service-name=both")["items"]
        return {piece["addressType"]: len(piece["endpoints"]) for piece in found}

    eventually(lambda: endpoints() == {"IPv4": 2, "IPv6": 2}, 20, "a slice of each family")
    for address in (*both["clusterIPs"], *only6["clusterIPs"]):
        where = url(address, 80)
        eventually(partial(asks, cluster, pods[0], where), 20, f"{address} answers")
        assert len({asks(cluster, pods[0], where) for _ in range(20)}) == len(names)
    for host, address6 in HOSTS.items():
        address4 = f"10.97.0.{address6.rpartition(':')[2]}"
        for where in (url(address4, 30081), url(address6, 30081), url(address6, 30082)):
            body = eventually(partial(cluster.http, where), 20, f"{where} on {host}")
            assert any(name in body for name in names)


def _names_are_known(cluster: Cluster, pods: list[dict[str, Any]]) -> None:
    def resolved(name: str) -> set[str]:
        command = ("exec", pods[0]["metadata"]["name"], "--", "nslookup", name)
        lines = cluster.kubectl(*command, check=False).splitlines()
        words = [w for line in lines if line.startswith(("Address", "Name", name)) for w in line.split()]
        answer = " ".join(lines)
        return {w for w in words if _is_address(w)} | ({answer} if not words else set())

    both, only6 = (cluster.get("service", name)["spec"]["clusterIPs"] for name in ("both", "only6"))
    suffix = "default.svc.cluster.local"
    eventually(lambda: set(both) <= resolved(f"both.{suffix}"), 20, "A and AAAA")
    eventually(lambda: set(only6) <= resolved(f"only6.{suffix}"), 20, "AAAA alone")
    every = {ip for pod in pods for ip in ips(pod)}
    eventually(lambda: every <= resolved(f"peers.{suffix}"), 20, "A and AAAA of every pod")
    back = cluster.kubectl("exec", pods[0]["metadata"]["name"], "--", "nslookup", both[1], check=False)
    assert f"both.{suffix}" in back


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def test_pods_and_services_have_an_address_of_each_family(site: Cluster) -> None:
    for node in site.get("nodes")["items"]:
        found = [ipaddress.ip_network(cidr) for cidr in node["spec"]["podCIDRs"]]
        # The stubs know no pair of the same family; one of two families is a TypeError, so it fails the test.
        assert [a.subnet_of(b) for a, b in zip(found, PODS, strict=True)] == [True, True]  # type: ignore[arg-type]
        internal = [a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"]
        assert internal[1] == HOSTS[node["metadata"]["name"]]
    serves(site, web_pods(site))


def test_ipv6_goes_through_the_tunnel_like_ipv4(site: Cluster) -> None:
    pods = web_pods(site)
    for way in ("always", "auto"):
        change(site, kdist_pod_encapsulation=way)
        site.playbook("site.yml", "--tags", "preflight,addons", timeout=900)
        device = "kdist-vxlan" if way == "always" else "eth0"
        shown = f"ip -6 route show proto 112 | grep 'dev {device} '"
        for host in HOSTS:
            eventually(partial(site.ssh, host, shown), 60, f"{way} on {host}")
        _pods_reach_each_other(site, pods)


def test_pods_reach_hosts_outside_with_their_hosts_address(site: Cluster) -> None:
    table = site.ssh("w1", "nft list table ip6 kdist-net")
    assert "masquerade" in table
    pod = next(pod for pod in web_pods(site) if pod["spec"]["nodeName"] == "w1")
    server = "import http.server as h; h.ThreadingHTTPServer.address_family = 10; "
    server += "h.test(h.SimpleHTTPRequestHandler, h.ThreadingHTTPServer, port=8099, bind='::')"
    site.ssh("w2", f'systemd-run -q --unit=outside -- python3 -c "{server}"')
    eventually(lambda: asks(site, pod, url(HOSTS["w2"], 8099)), 20, "a server outside the pod network")
    assert f"{HOSTS['w1']} " in site.ssh(
        "w2", "journalctl -u outside --no-pager -o cat; systemctl stop outside"
    )


def test_a_second_run_changes_nothing(site: Cluster) -> None:
    recap = changes(site.playbook("site.yml", timeout=900))
    assert {host: counters["changed"] for host, counters in recap.items()} == dict.fromkeys(HOSTS, 0)


def test_networks_that_are_in_use_are_neither_exchanged_nor_taken_away(site: Cluster) -> None:
    for other in ("10.244.0.0/16", "10.244.0.0/16,fd00:245::/56"):
        services = NETWORKS["kdist_service_cidr"] if "," in other else "10.96.0.0/16"
        change(site, kdist_pod_cidr=other, kdist_service_cidr=services)
        told = site.playbook("site.yml", check=False, timeout=300)
        assert f"kdist_pod_cidr: is {other}, and the cluster was made with" in told
    change(site, **NETWORKS)


def test_a_running_cluster_gets_its_second_family(single: Cluster) -> None:
    cluster = single
    before = web_pods(cluster)
    assert [len(ips(pod)) for pod in before] == [1, 1]
    cluster.apply(SERVICE % ("early", 30083))
    change(cluster, **NETWORKS)
    cluster.playbook("site.yml", timeout=900)

    def ranges() -> bool:
        return all(len(n["spec"]["podCIDRs"]) == 2 for n in cluster.get("nodes")["items"])

    eventually(ranges, 60, "every node has a second range")
    after = web_pods(cluster)
    assert [pod["metadata"]["uid"] for pod in after] == [pod["metadata"]["uid"] for pod in before]
    assert [ips(pod) for pod in after] == [ips(pod) for pod in before]
    eventually(
        lambda: "fd00:244" in cluster.ssh("w1", "cat /etc/cni/net.d/10-kdist.conflist"),
        60,
        "the CNI configuration",
    )
    cluster.kubectl("rollout", "restart", "daemonset/web")
    serves(cluster, web_pods(cluster))
    cluster.kubectl(
        "patch", "service", "early", "-p", json.dumps({"spec": {"ipFamilyPolicy": "PreferDualStack"}})
    )
    assert len(cluster.get("service", "early")["spec"]["clusterIPs"]) == 2
    recap = changes(cluster.playbook("site.yml", timeout=900))
    assert {host: counters["changed"] for host, counters in recap.items()} == dict.fromkeys(HOSTS, 0)
