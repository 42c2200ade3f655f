"""PersistentVolumes: capacity, access, exactly one source, and the nodes that reach it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.podscheduling import check_node_selector
from kdist.apiserver.registry.podspec import default_disk, fill
from kdist.apiserver.registry.volumesources import CHECKS, check_driver_name
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import needed, positive_amount, ruled, word

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
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
# The sources that are mounted with options; others refuse the annotation that was there before the field.
_MOUNTED_WITH_OPTIONS = {
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "gcePersistentDisk",
    "glusterfs",
    "iscsi",
    "nfs",
    "quobyte",
    "rbd",
    "vsphereVolume",
}
_STABLE_LABELS = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}
_SINCE = "lastPhaseTransitionTime"
_OLD_OPTIONS = "volume.beta.kubernetes.io/mount-options"
_DEPRECATED_ANNOTATIONS = {
    "volume.beta.kubernetes.io/storage-class": 'deprecated since v1.8; use "storageClassName" attribute instead',
    _OLD_OPTIONS: 'deprecated since v1.31; use "mountOptions" attribute instead',
}
_GONE = {
    "cephfs": ("cephfs", "v1.28", "v1.31"),
    "photonPersistentDisk": ("photonPersistentDisk", "v1.11", "v1.16"),
    "scaleIO": ("scaleIO", "v1.16", "v1.22"),
    "storageos": ("storageOS", "v1.22", "v1.25"),
    "glusterfs": ("glusterfs", "v1.25", "v1.26"),
    "rbd": ("rbd", "v1.28", "v1.31"),
}
_CSI_SECRETS = (
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
    "nodePublishSecretRef",
    "nodeExpandSecretRef",
)


def check_access_modes(spec: Obj, field: str, told_missing: str = "") -> Iterator[Cause]:
    """Causes for the access modes of a volume or of a claim."""
    modes = spec.get("accessModes") or []
    if not modes:
        yield causes.required(field, told_missing)
    for mode in modes:
        yield from word(field, mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and {*modes} & {*ACCESS_MODES} != {"ReadWriteOncePod"}:
        yield causes.forbidden(field, "may not use ReadWriteOncePod with other access modes")


class PersistentVolumeStrategy(Strategy):
    """PersistentVolumes."""

    checks_required = False

    def default(self, obj: Obj) -> None:
        """Kept when released; a file system."""
        spec = obj.setdefault("spec", {})
        fill(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
        fill(obj.setdefault("status", {}), phase="Pending")
        if "hostPath" in spec:
            fill(spec["hostPath"], type="")
        default_disk(spec)

    def prepare_create(self, obj: Obj) -> None:
        """Pending until the binder has seen it."""
        super().prepare_create(obj)
        obj["status"] = {"phase": "Pending", _SINCE: meta.now()}

    def check(self, obj: Obj) -> list[Cause]:
        """The spec, and the mount options that used to be an annotation."""
        spec = obj.get("spec") or {}
        found = list(check_spec(spec, meta.name(obj)))
        unmounted = spec.keys() - _NOT_A_SOURCE - _MOUNTED_WITH_OPTIONS
        if _OLD_OPTIONS in meta.annotations(obj) and unmounted:
            told = "may not specify mount options for this volume type"
            found.append(causes.forbidden(f"metadata.annotations.{_OLD_OPTIONS}", told))
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The source is for life; node affinity may be set once."""
        spec, before = new.get("spec") or {}, old.get("spec") or {}
        found: list[Cause] = []
        if any(_source(spec, before, f) != before.get(f) for f in {*spec, *before} - _NOT_A_SOURCE):
            told = "spec.persistentvolumesource is immutable after creation"
            found.append(causes.forbidden("spec.persistentvolumesource", told))
        found += causes.immutable("volumeMode", spec.get("volumeMode"), before.get("volumeMode"))
        affinity = spec.get("nodeAffinity")
        if before.get("nodeAffinity") is not None and not _same_nodes(affinity, before["nodeAffinity"]):
            told = f"{causes.IMMUTABLE}, except for updating from beta label to GA"
            found.append(causes.invalid("nodeAffinity", affinity, told))
        now, had = (s.get("volumeAttributesClassName") for s in (spec, before))
        if now != had and not self.features("VolumeAttributesClass"):
            told = "update is forbidden when the VolumeAttributesClass feature gate is disabled"
            found.append(causes.forbidden("spec.volumeAttributesClassName", told))
        elif now is None and had is not None:
            told = "update from non-nil value to nil is forbidden"
            found.append(causes.forbidden("spec.volumeAttributesClassName", told))
        return found

    def prepare_status_update(self, new: Obj, old: Obj) -> None:
        """A new phase gets its time, unless the writer says one; the old phase keeps its."""
        super().prepare_status_update(new, old)
        status, before = new.setdefault("status", {}), old.get("status") or {}
        time, had = status.get(_SINCE), before.get(_SINCE)
        if status.get("phase") != before.get("phase"):
            if time is None or time == had:
                status[_SINCE] = meta.now()
        elif time is None and had is not None:
            status[_SINCE] = had

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """What is not the way any more, or does not work any more."""
        spec, told = obj.get("spec") or {}, []
        for key, text in _DEPRECATED_ANNOTATIONS.items():
            if key in meta.annotations(obj):
                told.append(f"metadata.annotations[{key}]: {text}")
        if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
            told.append(
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the "
                "recommended approach is to use dynamic provisioning."
            )
        for source, (name, since, until) in _GONE.items():
            if source in spec:
                told.append(f"spec.{name}: deprecated in {since}, non-functional in {until}+")
        return told


def _same_nodes(new: Obj | None, old: Obj) -> bool:
    """Whether the affinity is the same, but for labels that got their final names (or none, which is refused)."""
    if new == old:
        return True
    terms = [(a or {}).get("required", {}).get("nodeSelectorTerms") or [] for a in (new, old)]
    keys = [
        [
            r.get("key") or ""
            for t in ts
            for part in ("matchExpressions", "matchFields")
            for r in t.get(part) or ()
        ]
        for ts in terms
    ]
    pairs = zip(*keys, strict=False)
    if len(keys[0]) != len(keys[1]) or any(a != b and a != _STABLE_LABELS.get(b, "") for a, b in pairs):
        return False
    return _without_keys(new or {}) == _without_keys(old)


def _without_keys(affinity: Obj) -> list[Obj]:
    terms = (affinity.get("required") or {}).get("nodeSelectorTerms") or []
    parts = ("matchExpressions", "matchFields")
    return [
        {part: [{k: v for k, v in r.items() if k != "key"} for r in term.get(part) or ()] for part in parts}
        for term in terms
    ]


def _source(spec: Obj, before: Obj, field: str) -> Obj | None:
    """The source as it is compared: the secret for growing a volume may be added later."""
    source: Obj | None = spec.get(field)
    late = "controllerExpandSecretRef"
    if field == "csi" and source and late not in (before.get("csi") or {late: None}):
        return {k: v for k, v in source.items() if k != late}
    return source


def check_spec(spec: Obj, name: str) -> Iterator[Cause]:
    """Causes for the spec of the volume ``name``."""
    yield from check_access_modes(spec, "spec.accessModes")
    yield from _capacity(spec.get("capacity") or {})
    policies = ("Delete", "Recycle", "Retain")
    yield from word("spec.persistentVolumeReclaimPolicy", spec.get("persistentVolumeReclaimPolicy"), policies)
    yield from _affinity(spec)
    yield from _sources(spec, "spec", name)
    if storage_class := spec.get("storageClassName"):
        yield from ruled("spec.storageClassName", storage_class, names.dns_subdomain)
    yield from word("spec.volumeMode", spec.get("volumeMode"), VOLUME_MODES)
    recycled = spec.get("persistentVolumeReclaimPolicy") == "Recycle"
    if recycled and posixpath.normpath((spec.get("hostPath") or {}).get("path") or ".") == "/":
        told = "may not be 'recycle' for a hostPath mount of '/'"
        yield causes.forbidden("spec.persistentVolumeReclaimPolicy", told)


def check_inline_spec(spec: Obj, where: str) -> Iterator[Cause]:
    """Causes for the spec of a volume that is there for one attachment only."""
    context = "in the context of inline volumes"
    for field in ("claimRef", "capacity", "nodeAffinity", "storageClassName"):
        if spec.get(field):
            yield causes.forbidden(f"{where}.{field}", f"may not be specified {context}")
    if "csi" not in spec:
        yield causes.required(f"{where}.csi", f"has to be specified {context}")
    yield from check_access_modes(spec, f"{where}.accessModes")
    if spec.get("persistentVolumeReclaimPolicy") not in (None, "Retain"):
        field = f"{where}.persistentVolumeReclaimPolicy"
        yield causes.forbidden(field, f"may only be Retain {context}")
    yield from _sources(spec, where, "")
    if spec.get("volumeMode") not in (None, "Filesystem"):
        told = f"may not specify volumeMode other than Filesystem {context}"
        yield causes.forbidden(f"{where}.volumeMode", told)


def _capacity(capacity: Obj) -> Iterator[Cause]:
    if not capacity:
        yield causes.required("spec.capacity")
    if capacity.keys() != {"storage"}:
        yield causes.not_supported("spec.capacity", capacity, ("storage",))
    for resource, amount in capacity.items():
        yield from positive_amount(f"spec.capacity[{resource}]", amount)


def _affinity(spec: Obj) -> Iterator[Cause]:
    affinity = spec.get("nodeAffinity")
    if affinity is None:
        if "local" in spec:
            yield causes.required("spec.nodeAffinity", "Local volume requires node affinity")
    elif affinity.get("required") is None:
        yield causes.required("spec.nodeAffinity.required", "must specify required node constraints")
    else:
        yield from check_node_selector(affinity["required"], "spec.nodeAffinity.required")


def _sources(spec: Obj, where: str, name: str) -> Iterator[Cause]:
    sources = [f for f in spec if f not in _NOT_A_SOURCE]
    if not sources:
        yield causes.required(where, "must specify a volume type")
        return
    # Of several sources the first in the order of the type counts; the published type is in the order of names.
    first = min(sources, key=lambda f: (f != "hostPath", f))
    for source in sources:
        if source != first:
            yield causes.forbidden(f"{where}.{source}", "may not specify more than 1 volume type")
    yield from _source_causes(first, spec[first], f"{where}.{first}", name)


def _source_causes(kind: str, source: Obj, where: str, name: str) -> Iterator[Cause]:
    if kind == "csi":
        yield from _csi(source, where)
    else:
        yield from CHECKS[kind](source, where)
    secret = source.get("secretRef")
    if kind in ("cinder", "storageos") and secret is not None:
        yield from needed(secret, f"{where}.secretRef", "name", "namespace")
    elif kind == "iscsi":
        if secret is not None:
            yield from needed(secret, f"{where}.secretRef", "name")
        portal = source.get("targetPortal") or ""
        if "initiatorName" in source and len(f"{name}:{portal}") > 64:
            told = (
                "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if "
                "iscsi.initiatorName is specified."
            )
            yield causes.invalid(f"{where}.targetportal", portal, told)
    elif kind == "azureFile" and source.get("secretNamespace") == "":
        yield causes.required(f"{where}.secretNamespace")
    elif kind == "glusterfs" and source.get("endpointsNamespace") is not None:
        yield from ruled(f"{where}.endpointsNamespace", source["endpointsNamespace"], names.dns_label)


def _csi(source: Obj, where: str) -> Iterator[Cause]:
    yield from check_driver_name(source.get("driver") or "", f"{where}.driver")
    yield from needed(source, where, "volumeHandle")
    for field in _CSI_SECRETS:
        if (secret := source.get(field)) is None:
            continue
        at = f"{where}.{field}"
        yield from needed(secret, at, "name", "namespace")
        for key, rule in (("name", names.dns_subdomain), ("namespace", names.dns_label)):
            if text := secret.get(key):
                yield from ruled(f"{at}.{key}", text, rule)
