"""Pods: what a new pod starts with, and the few things about a pod that may change later."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

from kdist.api import features as gates
from kdist.api import meta, pods
from kdist.api.errors import Cause
from kdist.api.features import Features
from kdist.api.meta import Obj
from kdist.api.recall import Recall
from kdist.api.resources import Resource
from kdist.api.schema import ANY, Schema
from kdist.apiserver.registry import (
    apparmor,
    podcheck,
    podcontainers,
    podgates,
    podspec,
    podstatus,
    podvolumes,
    podwarnings,
)
from kdist.apiserver.registry.base import Strategy, keep
from kdist.apiserver.validation import causes
from kdist.apiserver.validation.metadata import validate_annotations, validate_labels

_MIRROR = "kubernetes.io/config.mirror"
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_INTEGER = re.compile(r"0|-?[1-9]\d*")
_UPDATE_TOLD = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


class PodTemplateStrategy(Strategy):
    """The PodTemplate resource: a template that is stored by itself."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Defaults of the pod inside."""
        podspec.default_template(obj.setdefault("template", {}))

    def check(self, obj: Obj) -> list[Cause]:
        """The pod inside."""
        template = obj.get("template") or {}
        found = check_template(template, "template", ("Always", "OnFailure", "Never"))
        return found + podgates.check(template.get("spec") or {}, "template.spec", self.features)

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """What the pod inside says in vain."""
        return podwarnings.of_template(obj.get("template") or {}, "template")


class PodStrategy(Strategy):
    """Pods."""

    status_keeps = ("ownerReferences",)
    marks_removed = True

    def __init__(self, resource: Resource, schema: Schema = ANY, features: Features = gates.DEFAULT) -> None:
        super().__init__(resource, schema, features)
        self.tracks_generation = features.reached("1.33")
        self._checked: Recall[tuple[Cause, ...]] = Recall()

    def default(self, obj: Obj) -> None:
        """Defaults of the spec."""
        spec = obj.setdefault("spec", {})
        podspec.default_pod(spec)
        if self.features("InPlacePodVerticalScaling"):
            podspec.default_resize_policies(spec)

    def prepare_create(self, obj: Obj) -> None:
        """A pod starts Pending, with its QoS class for life."""
        super().prepare_create(obj)
        obj["status"] = {"phase": "Pending", "qosClass": pods.qos_class(obj)}
        apparmor.agree(obj)
        if obj.get("spec", {}).get("schedulingGates"):
            pods.set_condition(
                obj,
                "PodScheduled",
                "False",
                "SchedulingGated",
                "Scheduling is blocked due to non-empty scheduling gates",
            )

    def prepare_update(self, new: Obj, old: Obj) -> None:
        """There is a spec to compare."""
        super().prepare_update(new, old)
        new.setdefault("spec", {})

    def validate(self, obj: Obj) -> list[Cause]:
        """What only a new pod may not have, as well."""
        spec, found = obj.get("spec") or {}, super().validate(obj)
        if spec.get("ephemeralContainers"):
            found.append(causes.forbidden("spec.ephemeralContainers", "cannot be set on create"))
        if spec.get("nodeName") and spec.get("schedulingGates"):
            told = "cannot be set until all schedulingGates have been cleared"
            found.append(causes.forbidden("spec.nodeName", told))
        return found

    def check(self, obj: Obj) -> list[Cause]:
        """The whole spec, and nothing but it."""
        spec = obj.get("spec") or {}
        found = [*podcheck.check_spec(spec, "spec"), *podvolumes.check_account(spec, "spec.volumes")]
        return found + podgates.check(spec, "spec", self.features)

    def check_content(self, obj: Obj) -> list[Cause]:
        """The rules of a pod look at its spec, which is often one they have seen, and at a few annotations."""
        spec = obj.get("spec")
        found = self._checked.of(spec, lambda: tuple(super(PodStrategy, self).check_content(obj)))
        return [*found, *_check_annotations(meta.annotations(obj), spec or {})]

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Images, the deadline, more tolerations; nothing else."""
        spec, before = new.get("spec") or {}, old.get("spec") or {}
        for kind in ("containers", "initContainers"):
            if len(spec.get(kind) or ()) != len(before.get(kind) or ()):
                told = "pod updates may not add or remove containers"
                return [causes.forbidden(f"spec.{kind}", told)]
        annotations = meta.annotations(new)
        found = list(_check_annotations(annotations, spec))
        found += apparmor.check_update(annotations, meta.annotations(old))
        found += _deadline_shrinks(spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds"))
        if any("less than or equal" in cause.message for cause in found):
            return found
        found += _tolerations_grow(spec.get("tolerations") or [], before.get("tolerations") or [])
        found += _gates_only_go(spec, before)
        if _settled(spec, before) != _settled(before, before):
            found.append(causes.forbidden("spec", _UPDATE_TOLD))
        return found

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """Names that become host names, fields that do nothing or not what they seem to."""
        told = podwarnings.of_template(obj, "")
        if old is not None:
            return told
        named = podwarnings.of_name(meta.name(obj), podwarnings.HOSTNAME)
        return [*named, *podwarnings.of_profiles(obj), *told]

    # ----- subresources

    def prepare_status_update(self, new: Obj, old: Obj) -> None:
        """The QoS class of a pod never changes."""
        super().prepare_status_update(new, old)
        status = new.setdefault("status", {})
        qos = (old.get("status") or {}).get("qosClass")
        if qos and not status.get("qosClass"):
            status["qosClass"] = qos
        podstatus.agree(status)

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Addresses agree; the QoS class stays."""
        found = super().validate_status_update(new, old)
        status, before = new.get("status") or {}, old.get("status") or {}
        found += podstatus.check(status, "status")
        return found + causes.immutable("status.qosClass", status.get("qosClass"), before.get("qosClass"))

    def prepare_subresource_update(self, subresource: str, new: Obj, old: Obj) -> None:
        """``ephemeralcontainers`` changes that list alone, ``resize`` the resources of containers."""
        if subresource == "status":
            self.prepare_status_update(new, old)
            return
        wanted = new.get("spec") or {}
        new["spec"] = deepcopy(old.get("spec") or {})
        keep(new, old, "status")
        if subresource == "ephemeralcontainers":
            keep(new["spec"], wanted, "ephemeralContainers")
            for container in new["spec"].get("ephemeralContainers") or ():
                podspec.default_container(container)
        elif subresource == "resize":
            _take_resources(new["spec"], wanted)
        self.count_generation(new, old)

    def count_generation(self, new: Obj, old: Obj) -> None:
        """Counted from 1.33 on; a pod of before starts to count with its first change."""
        if self.tracks_generation and old["metadata"].get("generation") is None:
            if new.get("spec") != old.get("spec"):
                new["metadata"]["generation"] = 1
            return
        super().count_generation(new, old)

    def validate_subresource_update(self, subresource: str, new: Obj, old: Obj) -> list[Cause]:
        """Ephemeral containers may be added, never changed or removed."""
        if subresource == "status":
            return self.validate_status_update(new, old)
        if subresource == "ephemeralcontainers":
            return _check_ephemeral(new.get("spec") or {}, old.get("spec") or {})
        return self.check(new)

    # ----- selection and deletion

    def fields(self, obj: Obj) -> dict[str, str]:
        """What kubectl, the scheduler and agents select pods by."""
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        return {
            **super().fields(obj),
            "spec.nodeName": spec.get("nodeName") or "",
            "spec.restartPolicy": spec.get("restartPolicy") or "",
            "spec.schedulerName": spec.get("schedulerName") or "",
            "spec.serviceAccountName": spec.get("serviceAccountName") or "",
            "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
            "status.phase": status.get("phase") or "",
            "status.podIP": status.get("podIP") or "",
            "status.podIPs": status.get("podIP") or "",
            "status.nominatedNodeName": status.get("nominatedNodeName") or "",
        }

    def grace_seconds(self, obj: Obj, requested: int | None) -> int:
        """The pod's own grace period, unless it runs nowhere or has finished: then it goes at once."""
        spec = obj.get("spec") or {}
        grace = spec.get("terminationGracePeriodSeconds", 30) if requested is None else requested
        if not spec.get("nodeName") or pods.is_terminal(obj):
            return 0
        return max(int(grace), 0 if requested == 0 else 1)


def bind(pod: Obj, binding: Obj) -> list[Cause]:
    """Write a Binding into a pod, in place; causes when it cannot be bound."""
    target = binding.get("target") or {}
    if target.get("kind") not in (None, "", "Node"):
        return [causes.not_supported("target.kind", target["kind"], ("Node", ""))]
    if not target.get("name"):
        return [causes.required("target.name")]
    pod.setdefault("spec", {})["nodeName"] = target["name"]
    for field in ("annotations", "labels"):
        if extra := (binding.get("metadata") or {}).get(field):
            pod["metadata"].setdefault(field, {}).update(extra)
    pods.set_condition(pod, "PodScheduled", "True", now=meta.now())
    return []


def _check_annotations(annotations: dict[str, str], spec: Obj) -> Iterator[Cause]:
    if (mirror := annotations.get(_MIRROR)) and not spec.get("nodeName"):
        told = "must set spec.nodeName if mirror pod annotation is set"
        yield causes.invalid(f"metadata.annotations[{_MIRROR}]", mirror, told)
    cost = annotations.get(_DELETION_COST)
    if cost is not None and not (_INTEGER.fullmatch(cost) and -(2**31) <= int(cost) < 2**31):
        yield causes.invalid(f"metadata.annotations[{_DELETION_COST}]", cost, "must be a 32bit integer")


def _settled(spec: Obj, before: Obj) -> Any:
    """The spec with everything that may change taken from ``before``."""
    same = {
        k: v for k, v in spec.items() if k not in ("tolerations", "activeDeadlineSeconds", "schedulingGates")
    }
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and spec.get(
        "terminationGracePeriodSeconds"
    ) == 1:
        same["terminationGracePeriodSeconds"] = before["terminationGracePeriodSeconds"]
    for kind in ("containers", "initContainers"):
        if kind in same:
            same[kind] = [{k: v for k, v in c.items() if k != "image"} for c in same[kind]]
    if before.get("schedulingGates"):  # a pod that is not released yet may still be steered
        same = {k: v for k, v in same.items() if k not in ("nodeSelector", "affinity")}
    return same


def _tolerations_grow(new: list[Obj], old: list[Obj]) -> list[Cause]:
    def without_seconds(toleration: Obj) -> Obj:
        return {k: v for k, v in toleration.items() if k != "tolerationSeconds"}

    left = [without_seconds(t) for t in new]
    if all(without_seconds(t) in left for t in old):
        return []
    return [
        causes.forbidden(
            "spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"
        )
    ]


def _deadline_shrinks(new: int | None, old: int | None) -> list[Cause]:
    field = "spec.activeDeadlineSeconds"
    if old is not None and new is None:
        return [causes.invalid(field, None, "must not update from a positive integer to nil value")]
    if old is not None and new is not None and new > old:
        return [causes.invalid(field, new, "must be less than or equal to previous value")]
    return []


def _gates_only_go(spec: Obj, before: Obj) -> list[Cause]:
    old = [g.get("name") for g in before.get("schedulingGates") or ()]
    return [
        causes.forbidden(
            f"spec.schedulingGates[{at}].name",
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name', '')}'",
        )
        for at, gate in enumerate(spec.get("schedulingGates") or ())
        if gate.get("name") not in old
    ]


def _take_resources(spec: Obj, wanted: Obj) -> None:
    by_name = {c.get("name"): c for c in wanted.get("containers") or ()}
    for container in spec.get("containers") or ():
        asked = by_name.get(container.get("name")) or {}
        for field in ("resources", "resizePolicy"):
            keep(container, asked, field)


def _check_ephemeral(spec: Obj, before: Obj) -> list[Cause]:
    field = "spec.ephemeralContainers"
    new, old = spec.get("ephemeralContainers") or [], before.get("ephemeralContainers") or []
    found: list[Cause] = []
    by_name = {c.get("name"): c for c in new}
    for container in old:
        if container.get("name") not in by_name:
            told = f'existing ephemeral containers "{container.get("name")}" may not be removed'
            found.append(causes.forbidden(field, told))
        elif by_name[container.get("name")] != container:
            told = f'existing ephemeral containers "{container.get("name")}" may not be changed'
            found.append(causes.forbidden(field, told))
    volumes = {v.get("name") for v in spec.get("volumes") or ()}
    taken = {c.get("name") for kind in ("containers", "initContainers") for c in spec.get(kind) or ()}
    targets = set(taken)
    for at, container in enumerate(new):
        target = container.get("targetContainerName")
        if target and target not in targets:
            found.append(causes.not_found(f"{field}[{at}].targetContainerName", target))
        found += podcontainers.check_container(container, f"{field}[{at}]", volumes, spec)
        if container.get("name") in taken:
            found.append(causes.duplicate(f"{field}[{at}].name", container["name"]))
        taken.add(container.get("name"))
        for name in ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"):
            if container.get(name):
                told = "cannot be set for an Ephemeral Container"
                found.append(causes.forbidden(f"{field}[{at}].{name}", told))
    return found


def check_template(template: Obj, field: str, policies: tuple[str, ...] = ("Always",)) -> list[Cause]:
    """Causes for a PodTemplateSpec whose restart policy has to be one of ``policies``."""
    spec = template.get("spec") or {}
    found = check_template_metadata(template, field)
    found += podcheck.check_spec(spec, f"{field}.spec")
    if spec.get("ephemeralContainers"):
        told = "ephemeral containers not allowed in pod template"
        found.append(causes.forbidden(f"{field}.spec.ephemeralContainers", told))
    policy = spec.get("restartPolicy")
    if policy in ("Always", "OnFailure", "Never") and policy not in policies:
        found.append(causes.not_supported(f"{field}.spec.restartPolicy", policy, policies))
    return found


def check_template_metadata(template: Obj, field: str) -> list[Cause]:
    """Causes for the labels and annotations of a PodTemplateSpec."""
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    found = validate_labels(metadata.get("labels"), f"{field}.labels")
    annotations = metadata.get("annotations") or {}
    found += validate_annotations(annotations, f"{field}.annotations")
    return found + [
        replace(cause, field=cause.field.replace("metadata.", f"{field}.", 1))
        for cause in _check_annotations(annotations, spec)
    ]
