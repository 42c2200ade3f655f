"""Flow control as an administrator meets it: kubectl on the objects, and what becomes of them."""

from __future__ import annotations

from .conftest import Kubectl, eventually

MANDATORY = {"exempt", "catch-all"}


def test_the_usual_objects_are_there_and_none_dangles(kubectl: Kubectl) -> None:
    levels = {item["metadata"]["name"] for item in kubectl.get("prioritylevelconfigurations")["items"]}
    assert levels == MANDATORY | {
        *("system", "node-high", "leader-election", "workload-high", "workload-low", "global-default")
    }

    def settled() -> bool:
        found = kubectl.get("flowschemas")["items"]
        conditions = [item.get("status", {}).get("conditions", [{}])[0].get("status") for item in found]
        return len(found) == 13 and set(conditions) == {"False"}

    eventually(settled, "no flow schema dangles")


def test_a_deleted_object_comes_back_and_one_taken_over_stays_changed(kubectl: Kubectl) -> None:
    kubectl(
        "annotate", "flowschema", "service-accounts", "apf.kubernetes.io/autoupdate-spec=false", "--overwrite"
    )
    patch = '{"spec":{"matchingPrecedence":8888}}'
    kubectl("patch", "flowschema", "service-accounts", "--type=merge", "-p", patch)
    uid = kubectl.get("prioritylevelconfiguration", "workload-low")["metadata"]["uid"]
    kubectl("delete", "prioritylevelconfiguration", "workload-low")

    def back() -> bool:
        found = kubectl.run(
            ("get", "prioritylevelconfiguration", "workload-low", "-o", "jsonpath={.metadata.uid}")
        )
        return found.returncode == 0 and found.stdout != uid

    eventually(back, "the level is there again", 70)
    assert kubectl.get("flowschema", "service-accounts")["spec"]["matchingPrecedence"] == 8888
    kubectl(
        "annotate", "flowschema", "service-accounts", "apf.kubernetes.io/autoupdate-spec=true", "--overwrite"
    )

    def restored() -> bool:
        spec = kubectl.get("flowschema", "service-accounts")["spec"]
        return bool(spec["matchingPrecedence"] == 9000)

    eventually(restored, "the schema has the release's spec again", 70)


def test_the_debug_tables_and_metrics_name_the_levels(kubectl: Kubectl) -> None:
    table = kubectl("get", "--raw", "/debug/api_priority_and_fairness/dump_priority_levels")
    assert "workload-high," in table
    metrics = kubectl("get", "--raw", "/metrics")
    assert 'apiserver_flowcontrol_nominal_limit_seats{priority_level="workload-high"} 98' in metrics
