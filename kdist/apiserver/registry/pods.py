"""Pods: what a new pod starts with, what its subresources change, how it is selected, bound and deleted."""

from __future__ import annotations

from copy import deepcopy

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
    ephemeralcontainers,
    podannotations,
    podcheck,
    podgates,
    podresize,
    podspec,
    podstatus,
    podupdates,
    podvolumes,
    podwarnings,
)
from kdist.apiserver.registry.base import Strategy, keep
from kdist.apiserver.validation import causes


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
            podspec.default_resize_policies(spec, sidecars=self.features.reached("1.33"))

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
        podstatus.drop_disabled(new.get("status") or {}, old.get("spec") or {}, self.features)

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
        found += podvolumes.check_images(spec, "spec.volumes")
        return found + podgates.check(spec, "spec", self.features)

    def check_content(self, obj: Obj) -> list[Cause]:
        """The rules of a pod look at its spec, which is often one they have seen, and at a few annotations."""
        spec = obj.get("spec")
        found = self._checked.of(spec, lambda: tuple(super(PodStrategy, self).check_content(obj)))
        return [*found, *podannotations.check(meta.annotations(obj), spec or {})]

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Images, the deadline, more tolerations; nothing else."""
        return podupdates.check(new, old)

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """Names that become host names, fields that do nothing or not what they seem to."""
        told = podwarnings.of_template(obj, "", self.features)
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
        _keep_metadata(new, old)
        wanted = new.get("spec") or {}
        new["spec"] = deepcopy(old.get("spec") or {})
        keep(new, old, "status")
        if subresource == "ephemeralcontainers":
            keep(new["spec"], wanted, "ephemeralContainers")
            for container in new["spec"].get("ephemeralContainers") or ():
                podspec.default_container(container)
        elif subresource == "resize":
            podresize.take(new["spec"], wanted, self.features)
            if new["spec"] != old.get("spec") and not self.features.reached("1.33"):
                new.setdefault("status", {})["resize"] = "Proposed"  # later, agents tell by conditions
        self.count_generation(new, old)

    def count_generation(self, new: Obj, old: Obj) -> None:
        """Counted from 1.33 on; a pod of before starts to count with its first change."""
        if self.tracks_generation and old["metadata"].get("generation") is None:
            if new.get("spec") != old.get("spec"):
                new["metadata"]["generation"] = 1
            return
        super().count_generation(new, old)

    def validate_subresource_update(self, subresource: str, new: Obj, old: Obj) -> list[Cause]:
        """The rules of the subresource."""
        if subresource == "status":
            return self.validate_status_update(new, old)
        if subresource == "ephemeralcontainers":
            return ephemeralcontainers.check(new.get("spec") or {}, old.get("spec") or {})
        return [
            *self.check(new),
            *(podresize.check(new, old, self.features) if subresource == "resize" else ()),
        ]

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


def _keep_metadata(new: Obj, old: Obj) -> None:
    """What names the pod, and who manages what, is all of the metadata that comes with another view of it."""
    coming = ("managedFields", "resourceVersion")
    new["metadata"] = {
        **deepcopy({k: v for k, v in old["metadata"].items() if k not in coming}),
        **{k: new["metadata"][k] for k in coming if k in new["metadata"]},
    }


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
