"""Tables of volumes, claims, classes and CSI objects."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.apiserver.tables.columns import UNSET, access_modes, age, joined, printer, shown

_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
_DEFAULT_CLASSES = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def _class(obj: Obj) -> str:
    found = meta.annotations(obj).get(_BETA_CLASS) or meta.get(obj, "spec.storageClassName", "")
    return str(found)


@printer(
    "Capacity",
    "Access Modes",
    "Reclaim Policy",
    "Status",
    "Claim",
    "StorageClass",
    "VolumeAttributesClass",
    "Reason",
    "Age",
    "+VolumeMode",
)
def PERSISTENT_VOLUME(obj: Obj, now: datetime) -> list[Any]:
    """PersistentVolumes."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    claim = spec.get("claimRef") or {}
    return [
        meta.name(obj),
        meta.get(spec, "capacity.storage", ""),
        access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if meta.is_deleting(obj) else status.get("phase", ""),
        f"{claim.get('namespace', '')}/{claim['name']}" if claim.get("name") else "",
        _class(obj),
        shown(spec.get("volumeAttributesClassName"), UNSET),
        status.get("reason", ""),
        age(obj, now),
        shown(spec.get("volumeMode"), UNSET),
    ]


@printer(
    "Status",
    "Volume",
    "Capacity",
    "Access Modes",
    "StorageClass",
    "VolumeAttributesClass",
    "Age",
    "+VolumeMode",
)
def PERSISTENT_VOLUME_CLAIM(obj: Obj, now: datetime) -> list[Any]:
    """PersistentVolumeClaims."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    bound = bool(spec.get("volumeName"))
    return [
        meta.name(obj),
        "Terminating" if meta.is_deleting(obj) else status.get("phase", ""),
        spec.get("volumeName", ""),
        meta.get(status, "capacity.storage", "") if bound else "",
        access_modes(status.get("accessModes")) if bound else "",
        _class(obj),
        shown(spec.get("volumeAttributesClassName"), UNSET),
        age(obj, now),
        shown(spec.get("volumeMode"), UNSET),
    ]


@printer("Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion", "Age")
def STORAGE_CLASS(obj: Obj, now: datetime) -> list[Any]:
    """StorageClasses."""
    default = any(meta.annotations(obj).get(key) == "true" for key in _DEFAULT_CLASSES)
    return [
        meta.name(obj) + (" (default)" if default else ""),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy", "Delete"),
        obj.get("volumeBindingMode", "Immediate"),
        bool(obj.get("allowVolumeExpansion")),
        age(obj, now),
    ]


@printer(
    "AttachRequired:boolean",
    "PodInfoOnMount:boolean",
    "StorageCapacity:boolean",
    "TokenRequests",
    "RequiresRepublish:boolean",
    "Modes",
    "Age",
)
def CSI_DRIVER(obj: Obj, now: datetime) -> list[Any]:
    """CSIDrivers."""
    spec = obj.get("spec") or {}
    return [
        meta.name(obj),
        spec.get("attachRequired", True),
        spec.get("podInfoOnMount", False),
        spec.get("storageCapacity", False),
        joined((t.get("audience", "") for t in spec.get("tokenRequests") or ()), UNSET),
        spec.get("requiresRepublish", False),
        joined(spec.get("volumeLifecycleModes") or ()),
        age(obj, now),
    ]


@printer("Drivers:integer", "Age")
def CSI_NODE(obj: Obj, now: datetime) -> list[Any]:
    """CSINodes."""
    return [meta.name(obj), len(meta.get(obj, "spec.drivers", [])), age(obj, now)]


@printer("Attacher", "PV", "Node", "Attached:boolean", "Age")
def VOLUME_ATTACHMENT(obj: Obj, now: datetime) -> list[Any]:
    """VolumeAttachments."""
    spec = obj.get("spec") or {}
    return [
        meta.name(obj),
        spec.get("attacher", ""),
        meta.get(spec, "source.persistentVolumeName", ""),
        spec.get("nodeName", ""),
        bool(meta.get(obj, "status.attached", False)),
        age(obj, now),
    ]
