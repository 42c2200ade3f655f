"""Bad luck: killed components, a crashed worker, a rebooted control plane. Workloads go on."""

import time

import pytest

from tests.e2e.conftest import WORKERS, Cluster, changes, eventually

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations:
        - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 2}
        - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 2}
      containers: [{name: web, image: 'localhost/demo-web:0.1.0', readinessProbe: {httpGet: {path: /, port: 8080}}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30081}]}
"""
CONTROL_PLANE_PARTS = {
    "kube-apiserver": "kdist apiserver",
    "kube-controller-manager": "kdist controller-manager",
    "kube-scheduler": "kdist scheduler",
    "etcd": "etcd --name",
}


@pytest.fixture(scope="module")
def web(cluster: Cluster) -> str:
    cluster.kubectl("create", "namespace", "failures")
    cluster.kubectl("apply", "-n", "failures", "-f", "-", input=WEB)
    cluster.kubectl("rollout", "status", "-n", "failures", "deployment/web", "--timeout=90s")
    return "failures"


def containers(cluster: Cluster, namespace: str) -> dict[str, str]:
    """Container id by pod."""
    pods = cluster.get("pods", "-n", namespace)["items"]
    return {pod["metadata"]["name"]: pod["status"]["containerStatuses"][0]["containerID"] for pod in pods}


def kill(cluster: Cluster, host: str, pattern: str) -> None:
    """kill -9 of what runs under that command line. The bracket keeps pkill from finding itself."""
    cluster.ssh(host, f"pkill -9 -f '[{pattern[0]}]{pattern[1:]}'")


def works(cluster: Cluster, namespace: str) -> bool:
    """The control plane does its whole work: a new pod is created, scheduled, started and becomes Ready."""
    name = f"probe-{time.monotonic_ns()}"
    cluster.kubectl("run", "-n", namespace, name, "--image=localhost/demo-web:0.1.0")
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
    cluster.kubectl("delete", "pod", "-n", namespace, name, "--wait=false", "--grace-period=0", "--force")
    return True


@pytest.mark.parametrize("part", CONTROL_PLANE_PARTS)
def test_killed_control_plane_part_comes_back(cluster: Cluster, web: str, part: str) -> None:
    before = containers(cluster, web)
    kill(cluster, "cp1", CONTROL_PLANE_PARTS[part])
    eventually(lambda: cluster.kubectl("get", "--raw", "/readyz"), 60, "the API server is ready again")
    eventually(lambda: works(cluster, web), 90, f"the cluster works after {part} was killed")
    after = containers(cluster, web)
    assert {name: after.get(name) for name in before} == before


@pytest.mark.parametrize("unit", ["kdist-agent", "containerd"])
def test_killed_host_service_leaves_containers_running(cluster: Cluster, web: str, unit: str) -> None:
    before = containers(cluster, web)
    cluster.ssh("w1", f"systemctl kill --signal=KILL --kill-who=main {unit}")
    eventually(
        lambda: cluster.ssh("w1", f"systemctl is-active {unit}").strip() == "active", 30, f"{unit} runs again"
    )
    eventually(lambda: works(cluster, web), 90, f"the cluster works after {unit} was killed")
    after = containers(cluster, web)
    assert {name: after.get(name) for name in before} == before


@pytest.mark.parametrize("part", ["proxy", "net", "dns"])
def test_killed_network_part_comes_back(cluster: Cluster, web: str, part: str) -> None:
    for host in ("w1", "w2"):
        cluster.ssh(host, f"pkill -9 -f '[k]dist {part}'", check=False)
    assert "web-" in cluster.http(f"http://{WORKERS[0]}:30081")
    eventually(
        lambda: cluster.kubectl("exec", "visitor", "--", "wget", "-q", "-O", "-", "http://demo"),
        60,
        "names resolve",
    )


def test_workloads_go_on_without_any_control_plane(cluster: Cluster, web: str) -> None:
    before = containers(cluster, web)
    cluster.ssh("cp1", "mkdir -p /root/aside && mv /etc/kubernetes/manifests/*.yaml /root/aside/")
    try:
        gone = "pgrep -f '[k]dist apiserver' || echo none"
        eventually(lambda: "none" in cluster.ssh("cp1", gone), 60, "the control plane is off")
        for _ in range(10):
            assert "web-" in cluster.http(f"http://{WORKERS[1]}:30081")
    finally:
        cluster.ssh("cp1", "mv /root/aside/*.yaml /etc/kubernetes/manifests/")
    eventually(lambda: works(cluster, web), 90, "the control plane works again")
    assert containers(cluster, web).items() >= before.items()


def test_rebooted_control_plane_comes_back_by_itself(cluster: Cluster, web: str) -> None:
    cluster.ssh("cp1", "systemctl reboot", check=False)
    time.sleep(1)
    for _ in range(5):
        assert "web-" in cluster.http(f"http://{WORKERS[0]}:30081")
    eventually(lambda: cluster.kubectl("get", "--raw", "/readyz"), 90, "the API server is ready again")
    eventually(lambda: cluster.ready_nodes() == {"cp1", "w1", "w2"}, 90, "every node is Ready again")
    eventually(lambda: works(cluster, web), 90, "the cluster works again")


def test_crashed_worker_is_noticed_and_its_pods_move(cluster: Cluster, web: str) -> None:
    cluster.lab("crash", "w2")
    try:
        eventually(lambda: "w2" not in cluster.ready_nodes(), 90, "the node is seen as not ready")

        def moved() -> bool:
            pods = cluster.get("pods", "-n", web, "-l", "app=web")["items"]
            alive = [
                p
                for p in pods
                if p["spec"].get("nodeName") != "w2" and "deletionTimestamp" not in p["metadata"]
            ]
            return len([p for p in alive if p["status"]["phase"] == "Running"]) == 4

        eventually(moved, 90, "four replicas run elsewhere")
        assert "web-" in cluster.http(f"http://{WORKERS[0]}:30081")
    finally:
        cluster.lab("start", "w2")
    eventually(lambda: cluster.ready_nodes() == {"cp1", "w1", "w2"}, 90, "the node is back")


def test_second_run_changes_nothing_and_check_mode_agrees(cluster: Cluster) -> None:
    counters = changes(cluster.playbook("site.yml"))
    assert set(counters) == {"cp1", "w1", "w2"}
    assert {host: row["changed"] for host, row in counters.items()} == {"cp1": 0, "w1": 0, "w2": 0}
    checked = changes(cluster.playbook("site.yml", "--check", "--diff"))
    assert {host: row["changed"] for host, row in checked.items()} == {"cp1": 0, "w1": 0, "w2": 0}
