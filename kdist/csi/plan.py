"""What a claim or a volume wants of this node's provisioner. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdist.api import meta, quantity
from kdist.csi import DRIVER_NAME
from kdist.csi.proto import csi_pb2 as pb

SELECTED_NODE = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
# Keeps a volume object until its data is gone; the name is the one that stock tools expect.
FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"
# Parameters of a StorageClass that are meant for the provisioner, not for the driver.
_OWN_PARAMETERS = "csi.storage.k8s.io/"

_MODE = pb.VolumeCapability.AccessMode
_MODES = {
    "ReadWriteOnce": _MODE.SINGLE_NODE_MULTI_WRITER,
    "ReadWriteOncePod": _MODE.SINGLE_NODE_SINGLE_WRITER,
    "ReadOnlyMany": _MODE.MULTI_NODE_READER_ONLY,
    "ReadWriteMany": _MODE.MULTI_NODE_MULTI_WRITER,
}

Obj = dict[str, Any]


def wants_volume(claim: Obj, node: str) -> bool:
    """Whether a claim waits for a volume of ours on this node."""
    annotations = meta.annotations(claim)
    return (
        annotations.get(STORAGE_PROVISIONER) == DRIVER_NAME
        and annotations.get(SELECTED_NODE) == node
        and not (claim.get("spec") or {}).get("volumeName")
        and not meta.is_deleting(claim)
    )


def volume_name(claim: Obj) -> str:
    """The name of a claim's volume: the same at every attempt."""
    return f"pvc-{meta.uid(claim)}"


def requested_bytes(claim: Obj) -> int:
    """The claim's storage request."""
    return quantity.value(meta.get(claim, "spec.resources.requests.storage", "0"))


def creation(claim: Obj, storage_class: Obj, topology: Mapping[str, str]) -> pb.CreateVolumeRequest:
    """The call that makes a claim's volume."""
    parameters = storage_class.get("parameters") or {}
    here = pb.Topology(segments=topology)
    return pb.CreateVolumeRequest(
        name=volume_name(claim),
        capacity_range=pb.CapacityRange(
            required_bytes=requested_bytes(claim),
            limit_bytes=quantity.value(meta.get(claim, "spec.resources.limits.storage", "0")),
        ),
        volume_capabilities=[
            _capability(claim, mode, storage_class.get("mountOptions") or ())
            for mode in meta.get(claim, "spec.accessModes", ())
        ],
        parameters={k: v for k, v in parameters.items() if not k.startswith(_OWN_PARAMETERS)},
        accessibility_requirements=pb.TopologyRequirement(requisite=[here], preferred=[here]),
    )


def _capability(claim: Obj, mode: str, mount_options: Sequence[str]) -> pb.VolumeCapability:
    access = _MODE(mode=_MODES.get(mode, _MODE.UNKNOWN))
    if meta.get(claim, "spec.volumeMode") == "Block":
        return pb.VolumeCapability(block=pb.VolumeCapability.BlockVolume(), access_mode=access)
    mount = pb.VolumeCapability.MountVolume(mount_flags=mount_options)
    return pb.VolumeCapability(mount=mount, access_mode=access)


def persistent_volume(claim: Obj, storage_class: Obj, volume: pb.Volume) -> Obj:
    """The object for a volume that the driver made."""
    spec = claim["spec"]
    reference = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": meta.namespace(claim),
        "name": meta.name(claim),
        "uid": meta.uid(claim),
        "resourceVersion": meta.resource_version(claim),
    }
    made: Obj = {
        "metadata": {
            "name": volume_name(claim),
            "annotations": {PROVISIONED_BY: DRIVER_NAME},
            "finalizers": [FINALIZER],
        },
        "spec": {
            "capacity": {"storage": _capacity(claim, volume)},
            "accessModes": list(spec.get("accessModes") or ()),
            "volumeMode": spec.get("volumeMode") or "Filesystem",
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
            "storageClassName": meta.name(storage_class),
            "claimRef": reference,
            "nodeAffinity": {"required": {"nodeSelectorTerms": _terms(volume)}},
            "csi": {"driver": DRIVER_NAME, "volumeHandle": volume.volume_id},
        },
    }
    if volume.volume_context:
        made["spec"]["csi"]["volumeAttributes"] = dict(volume.volume_context)
    if storage_class.get("mountOptions"):
        made["spec"]["mountOptions"] = list(storage_class["mountOptions"])
    return made


def _capacity(claim: Obj, volume: pb.Volume) -> str:
    """The claim's own words when the volume is exactly as large."""
    if volume.capacity_bytes in (0, requested_bytes(claim)):
        return str(claim["spec"]["resources"]["requests"]["storage"])
    return str(volume.capacity_bytes)


def _terms(volume: pb.Volume) -> list[Obj]:
    return [
        {
            "matchExpressions": [
                {"key": key, "operator": "In", "values": [value]}
                for key, value in sorted(topology.segments.items())
            ]
        }
        for topology in volume.accessible_topology
    ]


class Fate(enum.Enum):
    """What to do with a PersistentVolume."""

    KEEP = "keep"
    DELETE = "delete"  # its data, and then the object
    RELEASE = "release"  # the object only: its data is somebody else's business


@dataclass(frozen=True, slots=True)
class Here:
    """This node's topology segments."""

    segments: Mapping[str, str]

    def has(self, volume: Obj) -> bool:
        """Whether a volume is one of ours on this node."""
        if meta.get(volume, "spec.csi.driver") != DRIVER_NAME:
            return False
        if meta.annotations(volume).get(PROVISIONED_BY) != DRIVER_NAME:
            return False
        terms = meta.get(volume, "spec.nodeAffinity.required.nodeSelectorTerms", ())
        return any(
            self.segments.get(expression.get("key", "")) in (expression.get("values") or ())
            for term in terms
            for expression in term.get("matchExpressions") or ()
        )


def fate(volume: Obj) -> Fate:
    """What to do with a volume of ours on this node."""
    phase = meta.get(volume, "status.phase", "")
    deletes = meta.get(volume, "spec.persistentVolumeReclaimPolicy") == "Delete"
    deleting, ours = meta.is_deleting(volume), FINALIZER in finalizers(volume)
    if deleting and not ours:
        return Fate.KEEP  # others' finalizers hold it; our part is done
    if deletes and phase in ("Released", "Failed"):
        return Fate.DELETE
    if deleting and phase != "Bound":
        return Fate.DELETE if deletes else Fate.RELEASE
    return Fate.KEEP


def finalizers(volume: Obj) -> list[str]:
    """The volume's finalizers."""
    return list(volume["metadata"].get("finalizers") or ())
