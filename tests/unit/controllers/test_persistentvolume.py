"""Binding of claims: which volume, and when one is asked for instead."""

from typing import Any

import pytest

from kdist.controllers.persistentvolume import plan
from kdist.controllers.persistentvolume.plan import Step


def claim(size: str = "1Gi", storage_class: str = "", **more: Any) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    spec |= {"storageClassName": storage_class} | more.pop("spec", {})
    return {"metadata": {"name": "c", "namespace": "ns", "uid": "u1", **more}, "spec": spec}


def volume(name: str, size: str = "1Gi", **spec: Any) -> dict[str, Any]:
    defaults = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "storageClassName": ""}
    return {"metadata": {"name": name}, "spec": {**defaults, **spec}}


def storage_class(mode: str = "Immediate", provisioner: str = "p") -> dict[str, Any]:
    return {"metadata": {"name": "fast"}, "provisioner": provisioner, "volumeBindingMode": mode}


def test_smallest_volume_that_is_large_enough_wins() -> None:
    chosen = plan.best(claim("2Gi"), [volume("big", "9Gi"), volume("right", "2Gi"), volume("small", "1Gi")])
    assert chosen and chosen["metadata"]["name"] == "right"


def test_volume_reserved_for_the_claim_wins_over_a_better_fit() -> None:
    reserved = volume("mine", "9Gi", claimRef={"namespace": "ns", "name": "c"})
    chosen = plan.best(claim(), [volume("right"), reserved])
    assert chosen is reserved


@pytest.mark.parametrize(
    "other",
    [
        volume("x", "512Mi"),
        volume("x", storageClassName="fast"),
        volume("x", accessModes=["ReadOnlyMany"]),
        volume("x", volumeMode="Block"),
        volume("x", claimRef={"namespace": "ns", "name": "c", "uid": "another"}),
        volume("x", claimRef={"namespace": "ns", "name": "d"}),
    ],
)
def test_unfit_volumes_are_not_chosen(other: dict[str, Any]) -> None:
    assert plan.best(claim(), [other]) is None


def test_waiting_class_binds_nothing_before_a_node_is_selected() -> None:
    waiting = claim(storage_class="fast")
    found = plan.next_step(
        waiting, [volume("x", storageClassName="fast")], storage_class("WaitForFirstConsumer")
    )
    assert found.step is Step.WAIT_FOR_CONSUMER
    selected = claim(storage_class="fast", annotations={plan.SELECTED_NODE: "w1"})
    found = plan.next_step(selected, [], storage_class("WaitForFirstConsumer"))
    assert (found.step, found.provisioner) == (Step.PROVISION, "p")


@pytest.mark.parametrize(
    ("wanted", "found", "step"),
    [
        (claim(), None, Step.WAIT_FOR_VOLUME),
        (claim(storage_class="fast"), None, Step.WAIT_FOR_CLASS),
        (claim(storage_class="fast"), storage_class(), Step.PROVISION),
        (claim(storage_class="fast"), storage_class(provisioner=plan.NO_PROVISIONER), Step.WAIT_FOR_VOLUME),
    ],
)
def test_claim_without_a_fitting_volume(wanted: dict[str, Any], found: Any, step: Step) -> None:
    assert plan.next_step(wanted, [], found).step is step


def test_volume_is_released_when_its_claim_is_gone_or_another_has_its_name() -> None:
    bound = volume("x", claimRef={"namespace": "ns", "name": "c", "uid": "u1"})
    assert plan.volume_phase(bound, claim()) == "Bound"
    assert plan.volume_phase(bound, None) == "Released"
    assert plan.volume_phase(bound, {**claim(), "metadata": {"uid": "u2"}}) == "Released"
    assert plan.volume_phase(volume("x"), None) == "Available"
