"""PersistentVolumeClaims: bound once, then only growing."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api import meta, quantity
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.labelselectors import check_label_selector
from kdist.apiserver.registry.persistentvolumes import VOLUME_MODES, check_access_modes
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import needed, positive_amount, ruled, word

_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_RESIZE_STATES = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)
_IMMUTABLE = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


class PersistentVolumeClaimStrategy(Strategy):
    """PersistentVolumeClaims."""

    checks_required = False

    def default(self, obj: Obj) -> None:
        """A file system, pending until it is bound."""
        fill(obj.setdefault("spec", {}), volumeMode="Filesystem")
        fill(obj.setdefault("status", {}), phase="Pending")

    def prepare_create(self, obj: Obj) -> None:
        """Pending until bound; the two names of a data source agree."""
        super().prepare_create(obj)
        obj["status"] = {"phase": "Pending"}
        _drop_unknown_source(obj["spec"])
        _agree(obj["spec"])

    def prepare_update(self, new: Obj, old: Obj) -> None:
        """Clients that know one name of a data source alone leave the other as it is."""
        super().prepare_update(new, old)
        before = old.get("spec") or {}
        if "dataSource" not in before and "dataSourceRef" not in before:
            _drop_unknown_source(new["spec"])
        _agree(new["spec"])

    def check(self, obj: Obj) -> list[Cause]:
        """The spec."""
        return list(check_claim(obj.get("spec") or {}, "spec"))

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Only a bound claim's request may change; an unbound one may get its volume and class."""
        spec, before = new.get("spec") or {}, old.get("spec") or {}
        found: list[Cause] = []
        if _compared(spec, old) != _compared(before, old):
            found.append(causes.forbidden("spec", _IMMUTABLE))
        found += _shrunk(spec, before, old.get("status") or {})
        found += causes.immutable("volumeMode", spec.get("volumeMode"), before.get("volumeMode"))
        had, has = (meta.annotations(o).get(_CLASS_ANNOTATION) for o in (old, new))
        if had != has:
            field = f"metadata.annotations[{_CLASS_ANNOTATION}]"
            found.append(causes.invalid(field, has or "", causes.IMMUTABLE))
        return found

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """How far growing has come."""
        found = super().validate_status_update(new, old)
        status = new.get("status") or {}
        for resource, state in (status.get("allocatedResourceStatuses") or {}).items():
            field = "status.allocatedResourceStatus"
            found += _resource_key(resource, field)
            if state not in _RESIZE_STATES:
                words = ", ".join(f'"{word}"' for word in _RESIZE_STATES)
                told = f"Unsupported value: {resource}: supported values: {words}"
                found.append(Cause(field, told, "FieldValueNotSupported"))
        for resource in status.get("allocatedResources") or {}:
            found += _resource_key(resource, "status.allocatedResources")
        return found

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """Annotations of old, and parts of bytes."""
        told = []
        if _CLASS_ANNOTATION in meta.annotations(obj):
            told.append(
                f"metadata.annotations[{_CLASS_ANNOTATION}]: deprecated since v1.8; use "
                '"storageClassName" attribute instead'
            )
        for field in ("requests", "limits"):
            amount = meta.get(obj, f"spec.resources.{field}.storage")
            if amount is not None and quantity.milli(amount) % 1000:
                told.append(
                    f'spec.resources.{field}[storage]: fractional byte value "{amount}" is invalid, must be an '
                    "integer"
                )
        return told


def _drop_unknown_source(spec: Obj) -> None:
    """Only claims and snapshots were ever taken by the older name; others are left out, as ever."""
    source = spec.get("dataSource")
    if source is None or spec.get("dataSourceRef") is not None:
        return
    origin = (source.get("apiGroup") or "", source.get("kind"))
    if origin not in (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot")):
        del spec["dataSource"]


def _agree(spec: Obj) -> None:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {k: v for k, v in reference.items() if k != "namespace"}


def check_claim(spec: Obj, where: str) -> Iterator[Cause]:
    """Causes for a PersistentVolumeClaimSpec, also of a template."""
    yield from check_access_modes(spec, f"{where}.accessModes", "at least 1 access mode is required")
    yield from check_label_selector(spec.get("selector"), f"{where}.selector")
    size, field = meta.get(spec, "resources.requests.storage"), f"{where}.resources[storage]"
    yield from [causes.required(field)] if size is None else positive_amount(field, size)
    if name := spec.get("storageClassName"):
        yield from ruled(f"{where}.storageClassName", name, names.dns_subdomain)
    yield from word(f"{where}.volumeMode", spec.get("volumeMode"), VOLUME_MODES)
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    for field, origin in (("dataSource", source), ("dataSourceRef", reference)):
        if origin is not None:
            yield from _origin(origin, f"{where}.{field}")
    if source is None or reference is None:
        return
    if reference.get("namespace"):
        told = "may not be specified when dataSourceRef.namespace is specified"
        yield causes.invalid(where, {"dataSource": source}, told)
    elif source != {k: v for k, v in reference.items() if k != "namespace"}:
        yield causes.invalid(where, {"dataSource": source}, "must match dataSourceRef")


def _origin(origin: Obj, where: str) -> Iterator[Cause]:
    yield from needed(origin, where, "name", "kind")
    group, kind = origin.get("apiGroup") or "", origin.get("kind") or ""
    if group:
        yield from ruled(f"{where}.apiGroup", group, names.dns_subdomain)
    elif kind != "PersistentVolumeClaim":
        told = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        yield causes.invalid(where, kind, told)
    if namespace := origin.get("namespace"):
        yield from ruled(f"{where}.namespace", namespace, names.dns_label)


def _compared(spec: Obj, old: Obj) -> Obj:
    """The spec without what may change in the state that the claim is in."""
    before = old.get("spec") or {}
    kept = {k: v for k, v in spec.items() if k != "volumeName" or before.get("volumeName")}
    if "storageClassName" not in before and spec.get("storageClassName") is not None:
        annotated = meta.annotations(old).get(_CLASS_ANNOTATION)
        if annotated in (None, spec["storageClassName"]):
            del kept["storageClassName"]
    if meta.get(old, "status.phase") == "Bound":
        resources = spec.get("resources") or {}
        if "requests" in resources:
            requests = {k: v for k, v in resources["requests"].items() if k != "storage"}
            kept["resources"] = {**resources, "requests": requests}
        if spec.get("volumeAttributesClassName") is not None:
            kept["volumeAttributesClassName"] = before.get("volumeAttributesClassName")
    return kept


def _shrunk(spec: Obj, before: Obj, status: Obj) -> list[Cause]:
    size, had = (quantity.parse(meta.get(s, "resources.requests.storage", "0")) for s in (spec, before))
    if size >= had or size > quantity.parse(meta.get(status, "capacity.storage", "0")):
        return []
    told = "field can not be less than status.capacity"
    return [causes.forbidden("spec.resources.requests.storage", told)]


def _resource_key(name: str, field: str) -> list[Cause]:
    if found := ruled(field, name, names.qualified_name):
        return found
    native = "/" not in name or name.startswith("kubernetes.io/")
    return [causes.not_supported(field, name, ("storage",))] if native and name != "storage" else []
