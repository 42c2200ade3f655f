"""Persistent volumes, claims and the kinds of storage.k8s.io."""

from __future__ import annotations

from typing import ClassVar

from kdist.api import meta, quantity
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import USERS_METADATA, Strategy
from kdist.apiserver.registry.podscheduling import check_node_selector
from kdist.apiserver.registry.podspec import default_disk, fill
from kdist.apiserver.validation import causes, names

_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
# Fields of a PersistentVolumeSpec that are not its source.
_NOT_A_SOURCE = {
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
}


def _modes(spec: Obj, told_missing: str = "") -> list[Cause]:
    modes = spec.get("accessModes") or []
    if not modes:
        return [causes.required("spec.accessModes", told_missing)]
    found = [causes.not_supported("spec.accessModes", m, _MODES) for m in modes if m not in _MODES]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        told = "may not use ReadWriteOncePod with other access modes"
        found.append(causes.forbidden("spec.accessModes", told))
    return found


class PersistentVolumeStrategy(Strategy):
    """PersistentVolumes."""

    def default(self, obj: Obj) -> None:
        """Kept when released; a file system."""
        spec = obj.setdefault("spec", {})
        fill(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
        if "hostPath" in spec:
            fill(spec["hostPath"], type="")
        default_disk(spec)

    def prepare_create(self, obj: Obj) -> None:
        """Pending until the binder has seen it."""
        super().prepare_create(obj)
        obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": meta.now()}

    def check(self, obj: Obj) -> list[Cause]:
        """Access modes, capacity, exactly one source."""
        spec = obj.get("spec") or {}
        found = _modes(spec)
        capacity = spec.get("capacity") or {}
        if not capacity:
            found.append(causes.required("spec.capacity"))
        elif "storage" not in capacity or len(capacity) > 1:
            found.append(causes.not_supported("spec.capacity", next(iter(capacity)), ("storage",)))
        elif quantity.parse(capacity["storage"]) <= 0:
            told = "must be greater than zero"
            found.append(causes.invalid("spec.capacity[storage]", capacity["storage"], told))
        sources = [f for f in spec if f not in _NOT_A_SOURCE]
        if not sources:
            found.append(causes.required("spec", "must specify a volume type"))
        for source in sources[1:]:
            found.append(causes.forbidden(f"spec.{source}", "may not specify more than 1 volume type"))
        if required := meta.get(spec, "nodeAffinity.required"):
            found += check_node_selector(required, "spec.nodeAffinity.required")
        elif "local" in spec:
            found.append(causes.required("spec.nodeAffinity", "Local volume requires node affinity"))
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The source is for life; node affinity may be set once."""
        spec, before = new.get("spec") or {}, old.get("spec") or {}
        found: list[Cause] = []
        if any(spec.get(f) != before.get(f) for f in {*spec, *before} - _NOT_A_SOURCE):
            told = "spec.persistentvolumesource is immutable after creation"
            found.append(causes.forbidden("spec.persistentvolumesource", told))
        found += causes.immutable("spec.volumeMode", spec.get("volumeMode"), before.get("volumeMode"))
        if before.get("nodeAffinity") and spec.get("nodeAffinity") != before["nodeAffinity"]:
            found.append(causes.invalid("spec.nodeAffinity", spec.get("nodeAffinity"), causes.IMMUTABLE))
        return found


class PersistentVolumeClaimStrategy(Strategy):
    """PersistentVolumeClaims: bound once, then only growing."""

    def default(self, obj: Obj) -> None:
        """A file system; the two names of a data source agree."""
        spec = obj.setdefault("spec", {})
        fill(spec, volumeMode="Filesystem")
        source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
        if source and not reference:
            spec["dataSourceRef"] = dict(source)
        elif reference and not source and not reference.get("namespace"):
            spec["dataSource"] = dict(reference)

    def prepare_create(self, obj: Obj) -> None:
        """Pending until bound."""
        super().prepare_create(obj)
        obj["status"] = {"phase": "Pending"}

    def check(self, obj: Obj) -> list[Cause]:
        """Access modes and the size asked for."""
        spec = obj.get("spec") or {}
        found = _modes(spec, "at least 1 access mode is required")
        size = meta.get(spec, "resources.requests.storage")
        if size is None:
            found.append(causes.required("spec.resources[storage]"))
        elif quantity.parse(size) <= 0:
            told = "must be greater than zero"
            found.append(causes.invalid("spec.resources[storage]", size, told))
        if name := spec.get("storageClassName"):
            found += [causes.invalid("spec.storageClassName", name, c) for c in names.dns_subdomain(name)]
        mode, supported = spec.get("volumeMode"), ("Block", "Filesystem")
        if mode not in supported:
            found.append(causes.not_supported("spec.volumeMode", mode, supported))
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Only a bound claim's request may grow; an unbound one may get its volume and class."""
        spec, before = new.get("spec") or {}, old.get("spec") or {}
        open_fields = {"resources", "volumeAttributesClassName"}
        for field in ("volumeName", "storageClassName"):
            if not before.get(field):
                open_fields.add(field)
        if any(spec.get(f) != before.get(f) for f in {*spec, *before} - open_fields):
            told = (
                "spec is immutable after creation except resources.requests and volumeAttributesClassName for "
                "bound claims"
            )
            return [causes.forbidden("spec", told)]
        size, had = (meta.get(s, "resources.requests.storage", "0") for s in (spec, before))
        if quantity.parse(size) < quantity.parse(meta.get(old, "status.capacity.storage", had)):
            told = "field can not be less than status.capacity"
            return [causes.forbidden("spec.resources.requests.storage", told)]
        return []


class StorageClassStrategy(Strategy):
    """StorageClasses: all but the topology and expansion is for life."""

    def default(self, obj: Obj) -> None:
        """Deleted with the claim, bound at once."""
        fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")

    def check(self, obj: Obj) -> list[Cause]:
        """Provisioner and policies."""
        found: list[Cause] = []
        name = obj.get("provisioner") or ""
        if name:
            found += [causes.invalid("provisioner", name, c) for c in names.qualified_name(name.lower())]
        for field, supported in (
            ("reclaimPolicy", ("Delete", "Retain")),
            ("volumeBindingMode", ("Immediate", "WaitForFirstConsumer")),
        ):
            if obj.get(field) not in supported:
                found.append(causes.not_supported(field, obj.get(field), supported))
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """What volumes were made by cannot change."""
        found: list[Cause] = []
        if new.get("parameters") != old.get("parameters"):
            found.append(causes.forbidden("parameters", "updates to parameters are forbidden."))
        if new.get("provisioner") != old.get("provisioner"):
            found.append(causes.forbidden("provisioner", "updates to provisioner are forbidden."))
        if new.get("reclaimPolicy") != old.get("reclaimPolicy"):
            found.append(causes.forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden."))
        mode = "volumeBindingMode"
        return found + causes.immutable(mode, new.get(mode), old.get(mode))


class CSIDriverStrategy(Strategy):
    """CSIDrivers."""

    allow_unconditional_update = False

    def default(self, obj: Obj) -> None:
        """What a driver without further words is taken for."""
        fill(
            obj.setdefault("spec", {}),
            attachRequired=True,
            podInfoOnMount=False,
            storageCapacity=False,
            fsGroupPolicy="ReadWriteOnceWithFSType",
            volumeLifecycleModes=["Persistent"],
            requiresRepublish=False,
            seLinuxMount=False,
        )

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """How volumes are attached is for life."""
        return [
            cause
            for field in ("attachRequired", "volumeLifecycleModes")
            for cause in causes.immutable(
                f"spec.{field}", meta.get(new, f"spec.{field}"), meta.get(old, f"spec.{field}")
            )
        ]


class CSINodeStrategy(Strategy):
    """CSINodes."""

    allow_unconditional_update = False

    def check(self, obj: Obj) -> list[Cause]:
        """A driver is there once."""
        found: list[Cause] = []
        seen: set[str] = set()
        for at, driver in enumerate(meta.get(obj, "spec.drivers", [])):
            name = driver.get("name") or ""
            if name in seen:
                found.append(causes.duplicate(f"spec.drivers[{at}].name", name))
            seen.add(name)
        return found


class VolumeAttachmentStrategy(Strategy):
    """VolumeAttachments: the spec is for life."""

    allow_unconditional_update = False

    initial_status: ClassVar[Obj] = {"attached": False}
    status_keeps = USERS_METADATA

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Attach something else by another object."""
        return causes.immutable("spec", new.get("spec"), old.get("spec"))
