"""kubectl as released runs workloads: run, expose, scale, rollout, wait, cordon, drain."""

from __future__ import annotations

from tests.integration.conftest import Kubectl, eventually
from tests.integration.manifests import deployment, pod


def _rolled_out(kubectl: Kubectl, name: str) -> None:
    kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")


def _image(kubectl: Kubectl, name: str) -> str:
    image: str = kubectl.get("deployment", name)["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


def test_run_starts_a_pod_and_wait_sees_it_ready(kubectl: Kubectl) -> None:
    kubectl("run", "single", "--image=example.org/app:1", "--labels=app=single")
    kubectl("wait", "--for=condition=Ready", "pod/single", "--timeout=30s")
    running = kubectl.get("pod", "single")
    assert running["status"]["phase"] == "Running"
    assert running["spec"]["nodeName"] in ("sim-1", "sim-2")
    assert running["status"]["podIP"].startswith("10.244.")


def test_deployment_becomes_available_and_is_exposed(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=example.org/app:1", "--replicas=3", "--port=8080")
    _rolled_out(kubectl, "web")
    kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")
    service = kubectl.get("service", "web")
    assert service["spec"]["clusterIP"].startswith("10.96.")

    def addresses() -> int:
        slices = kubectl.get("endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
        return sum(len(s.get("endpoints") or ()) for s in slices)

    eventually(lambda: addresses() == 3, "three endpoints")


def test_node_port_is_allocated(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("np", replicas=0))
    kubectl("expose", "deployment", "np", "--port=80", "--type=NodePort")
    port = kubectl.get("service", "np")["spec"]["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767


def test_scale_up_and_down(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("sized", replicas=1))
    kubectl("scale", "deployment", "sized", "--replicas=4")
    _rolled_out(kubectl, "sized")
    assert len(kubectl.get("pods", "-l", "app=sized")["items"]) == 4
    kubectl("scale", "deployment", "sized", "--replicas=0")
    eventually(lambda: not kubectl.get("pods", "-l", "app=sized")["items"], "no pods")


def test_rollout_undo_brings_the_previous_template_back(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("rolled"))
    _rolled_out(kubectl, "rolled")
    kubectl("set", "image", "deployment/rolled", "main=example.org/app:2")
    _rolled_out(kubectl, "rolled")
    assert "REVISION" in kubectl("rollout", "history", "deployment/rolled")
    kubectl("rollout", "undo", "deployment/rolled")
    _rolled_out(kubectl, "rolled")
    assert _image(kubectl, "rolled") == "example.org/app:1"


def test_rollout_restart_replaces_the_pods(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("again", replicas=1))
    _rolled_out(kubectl, "again")
    before = {p["metadata"]["uid"] for p in kubectl.get("pods", "-l", "app=again")["items"]}
    kubectl("rollout", "restart", "deployment/again")
    _rolled_out(kubectl, "again")

    def others() -> bool:
        return not before & {p["metadata"]["uid"] for p in kubectl.get("pods", "-l", "app=again")["items"]}

    eventually(others, "other pods")


def test_deleting_a_deployment_takes_its_pods(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("gone"))
    _rolled_out(kubectl, "gone")
    kubectl("delete", "deployment", "gone")
    eventually(lambda: not kubectl.get("pods", "-l", "app=gone")["items"], "no pods")
    assert not kubectl.get("replicasets", "-l", "app=gone")["items"]


def test_pods_get_a_token_and_the_root_certificate(kubectl: Kubectl) -> None:
    kubectl.apply(pod("identified"))
    volumes = kubectl.get("pod", "identified")["spec"]["volumes"]
    assert any("serviceAccountToken" in s for v in volumes for s in v["projected"]["sources"])
    eventually(lambda: "kube-root-ca.crt" in kubectl("get", "configmaps", "-o", "name"), "root CA")
    assert kubectl("create", "token", "default").count(".") == 2


def test_drain_moves_pods_and_uncordon_lets_them_back(kubectl: Kubectl) -> None:
    try:
        kubectl.apply(deployment("moved", replicas=4))
        _rolled_out(kubectl, "moved")
        kubectl("drain", "sim-1", "--ignore-daemonsets", "--force", "--timeout=60s",
                "--pod-selector=app=moved")  # fmt: skip
        assert "SchedulingDisabled" in kubectl("get", "node", "sim-1")
        _rolled_out(kubectl, "moved")
        nodes = {p["spec"].get("nodeName") for p in kubectl.get("pods", "-l", "app=moved")["items"]}
        assert nodes == {"sim-2"}
    finally:
        kubectl("uncordon", "sim-1")
    assert "SchedulingDisabled" not in kubectl("get", "node", "sim-1")


def test_cordoned_nodes_get_no_new_pods(kubectl: Kubectl) -> None:
    try:
        kubectl("cordon", "sim-2")
        kubectl.apply(deployment("elsewhere", replicas=3))
        _rolled_out(kubectl, "elsewhere")
        nodes = {p["spec"]["nodeName"] for p in kubectl.get("pods", "-l", "app=elsewhere")["items"]}
        assert nodes == {"sim-1"}
    finally:
        kubectl("uncordon", "sim-2")


def test_unschedulable_pod_says_why(kubectl: Kubectl) -> None:
    big = [{"name": "main", "image": "i", "resources": {"requests": {"cpu": "1000"}}}]
    kubectl.apply(pod("big", containers=big))
    eventually(lambda: "Insufficient cpu" in kubectl("describe", "pod", "big"), "a reason")
