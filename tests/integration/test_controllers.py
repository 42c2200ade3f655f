"""Controllers seen through kubectl: what is owned, what is in order, and what goes with what."""

from __future__ import annotations

from typing import Any

from tests.integration.conftest import Kubectl, eventually
from tests.integration.manifests import deployment

TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "x"}},
    "spec": {"containers": [{"name": "c", "image": "nginx"}]},
}


def workload(kind: str, name: str = "x", **spec: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": "x"}}
    spec = {"selector": selector, "template": TEMPLATE, **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def names(kubectl: Kubectl, *args: str) -> list[str]:
    return sorted(o["metadata"]["name"] for o in kubectl.get(*args)["items"])


def test_foreground_deletion_waits_for_the_dependents(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("web", replicas=2))
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    kubectl("delete", "deployment", "web", "--cascade=foreground", "--timeout=30s")
    assert names(kubectl, "replicasets,pods") == []


def test_orphans_stay_and_are_adopted_by_the_next_owner(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("web", replicas=2))
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    before = names(kubectl, "replicasets,pods")
    kubectl("delete", "deployment", "web", "--cascade=orphan")
    (orphan,) = eventually(lambda: kubectl.get("replicasets")["items"], "the ReplicaSet is still there")
    assert "ownerReferences" not in orphan["metadata"]
    kubectl.apply(deployment("web", replicas=2))
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    assert names(kubectl, "replicasets,pods") == before


def test_an_owner_that_never_existed_takes_its_dependent_with_it(kubectl: Kubectl) -> None:
    ghost = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "ghost",
        "uid": "0b5e5f0e-0000-4000-8000-000000000000",
    }
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "dependent", "ownerReferences": [ghost]},
        }
    )
    eventually(lambda: "dependent" not in names(kubectl, "configmaps"), "the dependent is collected")


def test_a_daemon_runs_on_every_node_and_is_rolled(kubectl: Kubectl) -> None:
    kubectl.apply(workload("DaemonSet"))
    kubectl("rollout", "status", "daemonset/x", "--timeout=30s")
    placed = sorted(p["spec"]["nodeName"] for p in kubectl.get("pods")["items"])
    assert placed == names(kubectl, "nodes")
    kubectl("set", "image", "daemonset/x", "c=nginx:2")
    kubectl("rollout", "status", "daemonset/x", "--timeout=30s")
    images = {p["spec"]["containers"][0]["image"] for p in kubectl.get("pods")["items"]}
    assert images == {"nginx:2"}


def test_a_stateful_set_keeps_names_through_an_update_and_back(kubectl: Kubectl) -> None:
    kubectl.apply(workload("StatefulSet", serviceName="x", replicas=2))
    kubectl("rollout", "status", "statefulset/x", "--timeout=30s")
    kubectl("set", "image", "statefulset/x", "c=nginx:2")
    kubectl("rollout", "status", "statefulset/x", "--timeout=30s")
    kubectl("rollout", "undo", "statefulset/x")
    kubectl("rollout", "status", "statefulset/x", "--timeout=30s")
    pods = kubectl.get("pods")["items"]
    assert {p["metadata"]["name"]: p["spec"]["containers"][0]["image"] for p in pods} == {
        "x-0": "nginx",
        "x-1": "nginx",
    }


def test_a_job_counts_its_successes(kubectl: Kubectl) -> None:
    spec = {**TEMPLATE["spec"], "restartPolicy": "Never"}
    job = {"completions": 3, "parallelism": 2, "template": {"spec": spec}}
    kubectl.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": job})

    def finish_one() -> bool:
        for pod in kubectl.get("pods")["items"]:
            if pod["status"].get("phase") == "Running":
                done = '{"status":{"phase":"Succeeded"}}'
                kubectl(
                    "patch",
                    "pod",
                    pod["metadata"]["name"],
                    "--subresource=status",
                    "--type=merge",
                    "-p",
                    done,
                )
        return bool(kubectl.get("job", "j")["status"].get("completionTime"))

    eventually(finish_one, "the Job is complete")
    assert kubectl.get("job", "j")["status"]["succeeded"] == 3
    assert len(names(kubectl, "pods")) == 3


def test_a_budget_tells_how_many_pods_may_go(kubectl: Kubectl) -> None:
    kubectl.apply(deployment("web", replicas=3))
    kubectl("create", "poddisruptionbudget", "p", "--selector=app=web", "--min-available=2")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    eventually(
        lambda: kubectl.get("poddisruptionbudget", "p")["status"].get("disruptionsAllowed") == 1,
        "one disruption is allowed",
    )
