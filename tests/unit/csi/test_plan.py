from typing import Any

from kdist.csi import DRIVER_NAME, TOPOLOGY_KEY, plan
from kdist.csi.plan import FINALIZER, PROVISIONED_BY, SELECTED_NODE, STORAGE_PROVISIONER, Fate, Here
from kdist.csi.proto import csi_pb2 as pb

CLASS = {"metadata": {"name": "local"}, "parameters": {"a": "b", "csi.storage.k8s.io/fstype": "ext4"}}
HERE = {TOPOLOGY_KEY: "n1"}


def claim(**annotations: str) -> dict[str, Any]:
    marks = {STORAGE_PROVISIONER: DRIVER_NAME, SELECTED_NODE: "n1", **annotations}
    return {
        "metadata": {"name": "c", "namespace": "demo", "uid": "u1", "annotations": marks},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }


def volume(phase: str, *, policy: str = "Delete", **metadata: Any) -> dict[str, Any]:
    made = plan.persistent_volume(
        claim(),
        {**CLASS, "reclaimPolicy": policy},
        pb.Volume(
            volume_id="pvc-u1", capacity_bytes=1 << 30, accessible_topology=[pb.Topology(segments=HERE)]
        ),
    )
    made["metadata"].update(metadata)
    return {**made, "status": {"phase": phase}}


def test_only_unbound_claims_of_ours_on_this_node_want_a_volume() -> None:
    assert plan.wants_volume(claim(), "n1")
    assert not plan.wants_volume(claim(), "n2")
    assert not plan.wants_volume(claim(**{STORAGE_PROVISIONER: "other.example.com"}), "n1")
    bound = claim()
    bound["spec"]["volumeName"] = "pvc-u1"
    assert not plan.wants_volume(bound, "n1")


def test_the_driver_is_asked_for_the_claims_size_on_this_node() -> None:
    request = plan.creation(claim(), CLASS, HERE)
    assert request.name == "pvc-u1"
    assert request.capacity_range.required_bytes == 1 << 30
    assert dict(request.parameters) == {"a": "b"}
    assert dict(request.accessibility_requirements.requisite[0].segments) == HERE
    assert request.volume_capabilities[0].HasField("mount")


def test_the_volume_object_is_tied_to_its_claim_and_node() -> None:
    made = volume("Bound")
    assert made["spec"]["claimRef"]["uid"] == "u1"
    assert made["spec"]["capacity"] == {"storage": "1Gi"}
    assert made["metadata"]["finalizers"] == [FINALIZER]
    assert made["metadata"]["annotations"] == {PROVISIONED_BY: DRIVER_NAME}
    assert Here(HERE).has(made)
    assert not Here({TOPOLOGY_KEY: "n2"}).has(made)


def test_released_volumes_go_and_retained_ones_stay() -> None:
    assert plan.fate(volume("Released")) is Fate.DELETE
    assert plan.fate(volume("Released", policy="Retain")) is Fate.KEEP
    assert plan.fate(volume("Bound")) is Fate.KEEP


def test_a_deleted_volume_object_is_let_go_by_its_policy_once_it_is_unused() -> None:
    stamp = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert plan.fate(volume("Bound", **stamp)) is Fate.KEEP
    assert plan.fate(volume("Available", **stamp)) is Fate.DELETE
    assert plan.fate(volume("Released", policy="Retain", **stamp)) is Fate.RELEASE
    assert plan.fate(volume("Released", finalizers=["kubernetes.io/pv-protection"], **stamp)) is Fate.KEEP
