"""Which volume fits a claim, and what a claim or a volume needs next. Pure.

A binding is a pair of references: ``volume.spec.claimRef`` (written first, with the claim's uid) and
``claim.spec.volumeName``. Whoever dies between the two writes leaves a state that the next look completes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from kdist.api import meta, quantity, selectors
from kdist.api.meta import Obj

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BETA_STORAGE_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
LEGACY_CLASS = "volume.beta.kubernetes.io/storage-class"
WAIT_FOR_FIRST_CONSUMER = "WaitForFirstConsumer"
# The class of volumes that nobody provisions; "no provisioner" in upstream's own words.
NO_PROVISIONER = "kubernetes.io/no-provisioner"


class Step(Enum):
    """What an unbound claim needs."""

    BIND = "bind"
    PROVISION = "provision"
    WAIT_FOR_CONSUMER = "wait for first consumer"
    WAIT_FOR_VOLUME = "wait for a volume"
    WAIT_FOR_CLASS = "wait for the class"


@dataclass(frozen=True, slots=True)
class Next:
    """The next step of a claim; ``volume`` for BIND, ``provisioner`` for PROVISION."""

    step: Step
    volume: Obj | None = None
    provisioner: str = ""


def class_of(obj: Mapping[str, Any]) -> str:
    """The storage class of a claim or volume; empty for none."""
    return meta.annotations(obj).get(LEGACY_CLASS) or meta.get(obj, "spec.storageClassName", "") or ""


def is_bound_to(volume: Mapping[str, Any], claim: Mapping[str, Any]) -> bool:
    """Whether the volume's reference names this very claim; a reference without uid names whoever comes."""
    ref = meta.get(volume, "spec.claimRef")
    if not ref or (ref.get("namespace"), ref.get("name")) != (meta.namespace(claim), meta.name(claim)):
        return False
    return not ref.get("uid") or ref["uid"] == meta.uid(claim)


def claim_ref(claim: Mapping[str, Any]) -> Obj:
    """The full reference to a claim."""
    return {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "namespace": meta.namespace(claim),
        "name": meta.name(claim),
        "uid": meta.uid(claim),
        "resourceVersion": meta.resource_version(claim),
    }


def _storage(amounts: Mapping[str, Any] | None) -> int:
    return quantity.value((amounts or {}).get("storage", "0"))


def fits(volume: Mapping[str, Any], claim: Mapping[str, Any]) -> bool:
    """Whether an available volume satisfies a claim: class, mode, access, size, labels."""
    spec, wanted = volume["spec"], claim["spec"]
    if meta.is_deleting(volume) or class_of(volume) != class_of(claim):
        return False
    if (spec.get("volumeMode") or "Filesystem") != (wanted.get("volumeMode") or "Filesystem"):
        return False
    if not set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ()):
        return False
    if (wanted.get("volumeAttributesClassName") or "") != (spec.get("volumeAttributesClassName") or ""):
        return False
    if _storage(spec.get("capacity")) < _storage(meta.get(wanted, "resources.requests")):
        return False
    selector = wanted.get("selector")
    return not selector or selectors.from_label_selector(selector).matches(meta.labels(volume))


def best(claim: Mapping[str, Any], volumes: Iterable[Obj]) -> Obj | None:
    """The volume reserved for the claim, else the smallest free one that fits."""
    free = []
    for volume in volumes:
        if is_bound_to(volume, claim):
            return volume
        if not meta.get(volume, "spec.claimRef") and fits(volume, claim):
            free.append(volume)
    return min(free, key=lambda v: (_storage(v["spec"].get("capacity")), meta.name(v)), default=None)


def next_step(claim: Mapping[str, Any], volumes: Iterable[Obj], storage_class: Obj | None) -> Next:
    """What a claim without a volume needs now.

    A class that waits for the first consumer binds nothing, not even a static volume, before the scheduler
    has chosen a node: the volume must be one that this node can reach, so the scheduler picks it.
    """
    waits = bool(storage_class) and meta.get(storage_class, "volumeBindingMode") == WAIT_FOR_FIRST_CONSUMER
    if waits:
        reserved = next((v for v in volumes if is_bound_to(v, claim)), None)
        if reserved:
            return Next(Step.BIND, volume=reserved)
        if SELECTED_NODE not in meta.annotations(claim):
            return Next(Step.WAIT_FOR_CONSUMER)
    elif volume := best(claim, volumes):
        return Next(Step.BIND, volume=volume)
    if not class_of(claim):
        return Next(Step.WAIT_FOR_VOLUME)
    if storage_class is None:
        return Next(Step.WAIT_FOR_CLASS)
    if storage_class["provisioner"] == NO_PROVISIONER:
        return Next(Step.WAIT_FOR_VOLUME)
    return Next(Step.PROVISION, provisioner=storage_class["provisioner"])


def bound_status(claim: Mapping[str, Any], volume: Mapping[str, Any]) -> Obj:
    """The status of a claim bound to a volume; a capacity that was reported before is kept."""
    status = dict(claim.get("status") or {})
    status["phase"] = "Bound"
    status.setdefault("accessModes", list(volume["spec"].get("accessModes") or ()))
    status.setdefault("capacity", dict(volume["spec"].get("capacity") or {}))
    return status


def volume_phase(volume: Mapping[str, Any], claim: Mapping[str, Any] | None) -> str:
    """The phase of a volume given the claim of its reference, or None when that claim is no more."""
    ref = meta.get(volume, "spec.claimRef")
    if not ref or not ref.get("uid"):
        return "Available"
    if claim is None or meta.uid(claim) != ref["uid"]:
        return "Released"
    return "Bound"
