"""The rules that metadata of every object follows, on create and on update."""

from __future__ import annotations

from typing import Any

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.validation import causes, names

_ANNOTATIONS_LIMIT = 256 * 1024
# Finalizers of the system that have no domain as their prefix.
_UNQUALIFIED = {"kubernetes", "orphan", "foregroundDeletion", "customresourcecleanup.apiextensions.k8s.io"}
_BANNED_OWNERS = {("v1", "Event")}


def validate_metadata(
    metadata: Obj, *, namespaced: bool, name_rule: names.Rule, known_finalizers: bool = True
) -> list[Cause]:
    """Everything wrong with the metadata of a new object whose name is already generated.

    With ``known_finalizers`` a finalizer without a domain has to be one of the system's.
    """
    found: list[Cause] = []
    if prefix := metadata.get("generateName"):
        rule = names.generated(name_rule)
        found += [causes.invalid("metadata.generateName", prefix, c) for c in rule(prefix)]
    if name := metadata.get("name"):
        found += [causes.invalid("metadata.name", name, c) for c in name_rule(name)]
    else:
        found.append(causes.required("metadata.name", "name or generateName is required"))
    found += _namespace(metadata.get("namespace") or "", namespaced)
    found += validate_labels(metadata.get("labels"), "metadata.labels")
    found += validate_annotations(metadata.get("annotations"), "metadata.annotations")
    found += _owners(metadata.get("ownerReferences") or [])
    return found + _finalizers(metadata.get("finalizers") or [], known=known_finalizers)


def _namespace(namespace: str, namespaced: bool) -> list[Cause]:
    if not namespaced:
        return [causes.forbidden("metadata.namespace", "not allowed on this type")] if namespace else []
    if not namespace:
        return [causes.required("metadata.namespace")]
    return [causes.invalid("metadata.namespace", namespace, c) for c in names.dns_label(namespace)]


def validate_labels(labels: dict[str, str] | None, field: str) -> list[Cause]:
    """Keys are qualified names, values label values."""
    found: list[Cause] = []
    for key, value in (labels or {}).items():
        found += [causes.invalid(field, key, c) for c in names.qualified_name(key)]
        found += [causes.invalid(field, value, c) for c in names.label_value(value)]
    return found


def validate_annotations(annotations: dict[str, str] | None, field: str) -> list[Cause]:
    """Keys are qualified names (case does not matter); all of it fits 256 KiB."""
    found: list[Cause] = []
    for key in annotations or {}:
        found += [causes.invalid(field, key, c) for c in names.qualified_name(key.lower())]
    if sum(len(k.encode()) + len(v.encode()) for k, v in (annotations or {}).items()) > _ANNOTATIONS_LIMIT:
        found.append(causes.too_long(field, _ANNOTATIONS_LIMIT))
    return found


def _owners(owners: list[Obj]) -> list[Cause]:
    found: list[Cause] = []
    for owner in owners:
        field = "metadata.ownerReferences"
        if (owner.get("apiVersion"), owner.get("kind")) in _BANNED_OWNERS:
            found.append(causes.invalid(field, owner, "is disallowed from being an owner"))
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                text = "version must not be empty" if key == "apiVersion" else f"{key} must not be empty"
                found.append(causes.invalid(f"{field}.{key}", owner.get(key, ""), text))
    controllers = [o for o in owners if o.get("controller")]
    if len(controllers) > 1:
        named = " and ".join(f"{o.get('kind')}/{o.get('name')}" for o in controllers[:2])
        told = f"Only one reference can have Controller set to true. Found {named}"
        found.append(causes.invalid("metadata.ownerReferences", owners, told))
    return found


def check_finalizer(finalizer: str, field: str, unknown: str) -> list[Cause]:
    """Causes for the name of a finalizer; with ``unknown`` for one without a domain that is nobody's, told there."""
    found = [causes.invalid(field, finalizer, c) for c in names.qualified_name(finalizer)]
    if unknown and "/" not in finalizer and finalizer not in _UNQUALIFIED:
        told = "name is neither a standard finalizer name nor is it fully qualified"
        found.append(causes.invalid(unknown, finalizer, told))
    return found


def _finalizers(finalizers: list[str], *, known: bool) -> list[Cause]:
    found: list[Cause] = []
    for at, finalizer in enumerate(finalizers):
        told = f"metadata.finalizers[{at}]" if known else ""
        found += check_finalizer(finalizer, "metadata.finalizers", told)
    both = {"orphan", "foregroundDeletion"}
    if both <= set(finalizers):
        told = "finalizer orphan and foregroundDeletion cannot be both set"
        found.append(causes.invalid("metadata.finalizers", finalizers, told))
    return found


def validate_metadata_update(new: Obj, old: Obj) -> list[Cause]:
    """What an update must not change: identity, and finalizers may only go once deletion began."""
    found: list[Cause] = []
    for field in ("name", "namespace", "uid"):
        found += causes.immutable(f"metadata.{field}", new.get(field), old.get(field))
    grace = "deletionGracePeriodSeconds"
    found += causes.immutable(f"metadata.{grace}", new.get(grace), old.get(grace))
    if new.get("deletionTimestamp") != old.get("deletionTimestamp"):
        moment = new["deletionTimestamp"].replace("T", " ").replace("Z", " +0000 UTC")
        told = f"Invalid value: {moment}: {causes.IMMUTABLE}"
        found.append(Cause("metadata.deletionTimestamp", told))
    found += validate_labels(new.get("labels"), "metadata.labels")
    found += validate_annotations(new.get("annotations"), "metadata.annotations")
    found += _owners(new.get("ownerReferences") or [])
    if old.get("deletionTimestamp"):
        found += _finalizers_of_deleted(new, old)
    return found + _finalizers(new.get("finalizers") or [], known=False)


def _finalizers_of_deleted(new: Obj, old: Obj) -> list[Cause]:
    added = [f for f in new.get("finalizers") or () if f not in (old.get("finalizers") or ())]
    if not added:
        return []
    listed: Any = "[]string{" + ", ".join(f'"{f}"' for f in added) + "}"
    told = f"no new finalizers can be added if the object is being deleted, found new finalizers {listed}"
    return [causes.forbidden("metadata.finalizers", told)]
