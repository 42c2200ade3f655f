"""The quick start's demo: a web Deployment answers in the cluster by name and from outside by node port."""

from pathlib import Path

from tests.e2e.conftest import ROOT, WORKERS, Cluster, eventually

DEMO = Path(ROOT, "examples/demo.yaml")


def test_demo_answers_from_a_pod_and_from_outside(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", str(DEMO))
    cluster.kubectl("rollout", "status", "deployment/demo", "--timeout=60s")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/visitor", "--timeout=60s")
    replicas = {pod["metadata"]["name"] for pod in cluster.get("pods", "-l", "app=demo")["items"]}
    answers: set[str] = set()

    def asked_all() -> bool:
        answers.add(cluster.kubectl("exec", "visitor", "--", "wget", "-q", "-O", "-", "http://demo").strip())
        return {name for name in replicas if any(name in answer for answer in answers)} == replicas

    eventually(asked_all, 30, "every replica answers under the Service's name")
    for worker in WORKERS:
        body = eventually(lambda w=worker: cluster.http(f"http://{w}:30080"), 10, "the node port answers")
        assert any(name in body for name in replicas)


def test_replicas_are_spread_over_both_workers(cluster: Cluster) -> None:
    nodes = {pod["spec"]["nodeName"] for pod in cluster.get("pods", "-l", "app=demo")["items"]}
    assert nodes == {"w1", "w2"}


def test_pods_of_different_hosts_reach_each_other(cluster: Cluster) -> None:
    for pod in cluster.get("pods", "-l", "app=demo")["items"]:
        url = f"http://{pod['status']['podIP']}:8080"
        assert pod["metadata"]["name"] in cluster.kubectl(
            "exec", "visitor", "--", "wget", "-q", "-O", "-", url
        )


def test_cluster_addresses_answer_on_the_hosts_themselves(cluster: Cluster) -> None:
    address = cluster.get("service", "demo")["spec"]["clusterIP"]
    code = f"import urllib.request as u; print(u.urlopen('http://{address}', timeout=3).read().decode())"
    for host in ("cp1", "w1"):
        assert "demo-" in cluster.ssh(host, f'python3 -c "{code}"')
