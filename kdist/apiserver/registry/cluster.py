"""Namespaces, priority and runtime classes, leases."""

from __future__ import annotations

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy, keep
from kdist.apiserver.registry.podscheduling import check_tolerations
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.registry.resourceamounts import check_amount, check_container_resource
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import ruled
from kdist.apiserver.validation.metadata import check_finalizer, validate_labels

_NAME_LABEL = "kubernetes.io/metadata.name"
_HIGHEST_USER_PRIORITY = 1_000_000_000


class NamespaceStrategy(Strategy):
    """Namespaces: they carry their name as a label, and a finalizer until they are empty."""

    name_rule = staticmethod(names.dns_label_of_host)
    checks_required = False

    def default(self, obj: Obj) -> None:
        """Active; the label that namespace selectors use."""
        fill(obj.setdefault("status", {}), phase="Active")
        metadata = obj.setdefault("metadata", {})
        if metadata.get("name"):
            metadata.setdefault("labels", {})[_NAME_LABEL] = metadata["name"]

    def prepare_create(self, obj: Obj) -> None:
        """Active, and kept until the namespace controller has emptied it."""
        super().prepare_create(obj)
        if not names.dns_label(meta.name(obj)):
            self.default(obj)  # a generated name is known only now
        finalizers = obj.setdefault("spec", {}).setdefault("finalizers", [])
        if "kubernetes" not in finalizers:
            finalizers.append("kubernetes")
        obj["status"] = {"phase": "Active"}

    def prepare_update(self, new: Obj, old: Obj) -> None:
        """Finalizers of the spec go by the subresource alone."""
        super().prepare_update(new, old)
        new.setdefault("spec", {})
        keep(new["spec"], old.get("spec") or {}, "finalizers")

    def prepare_subresource_update(self, subresource: str, new: Obj, old: Obj) -> None:
        """``finalize`` changes spec.finalizers, ``status`` the status."""
        if subresource != "finalize":
            self.prepare_status_update(new, old)
            return
        wanted = (new.get("spec") or {}).get("finalizers") or []
        self.prepare_status_update(new, old)
        keep(new, old, "status")
        new["spec"] = {"finalizers": wanted} if wanted else {}

    def check_create(self, obj: Obj) -> list[Cause]:
        """Finalizers of the spec are the system's, or have a domain."""
        found: list[Cause] = []
        for finalizer in meta.get(obj, "spec.finalizers", []):
            found += check_finalizer(finalizer, "spec.finalizers", "spec.finalizers")
        return found

    def validate_subresource_update(self, subresource: str, new: Obj, old: Obj) -> list[Cause]:
        """``finalize`` writes finalizers, ``status`` the phase that follows from the deletion."""
        found = super().validate_subresource_update(subresource, new, old)
        if subresource == "finalize":
            for at, finalizer in enumerate(meta.get(new, "spec.finalizers", [])):
                field = f"spec.finalizers[{at}]"
                found += check_finalizer(finalizer, field, field)
            return found
        phase, deleting = meta.get(new, "status.phase", ""), meta.is_deleting(new)
        wanted, state = ("Terminating", "not empty") if deleting else ("Active", "empty")
        if phase != wanted:
            told = f"may only be '{wanted}' if `deletionTimestamp` is {state}"
            found.append(causes.invalid("status.Phase", phase, told))
        return found

    def fields(self, obj: Obj) -> dict[str, str]:
        """By phase, too."""
        return {**super().fields(obj), "status.phase": meta.get(obj, "status.phase", "")}


class PriorityClassStrategy(Strategy):
    """PriorityClasses: the value is for life."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Preempts lower priorities."""
        fill(obj, preemptionPolicy="PreemptLowerPriority")

    def check(self, obj: Obj) -> list[Cause]:
        """Names and values of the system are reserved."""
        found: list[Cause] = []
        name, value = meta.name(obj), obj.get("value", 0)
        if name.startswith("system-"):
            if name not in ("system-node-critical", "system-cluster-critical"):
                told = "priority class names with 'system-' prefix are reserved for system use only. error: "
                told += f"{name} is not a known system priority class"
                found.append(causes.forbidden("metadata.name", told))
        elif value > _HIGHEST_USER_PRIORITY:
            told = f"maximum allowed value of a user defined priority is {_HIGHEST_USER_PRIORITY}"
            found.append(causes.forbidden("value", told))
        return found

    def check_create(self, obj: Obj) -> list[Cause]:
        """A known policy; later it cannot change."""
        policy, supported = obj.get("preemptionPolicy"), ("PreemptLowerPriority", "Never")
        if not policy:
            return [causes.required("preemptionPolicy")]
        return [] if policy in supported else [causes.not_supported("preemptionPolicy", policy, supported)]

    def count_generation(self, new: Obj, old: Obj) -> None:
        """What may change of a class is no new generation."""
        keep(new["metadata"], old["metadata"], "generation")

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Value and policy cannot change."""
        found = []
        if new.get("value", 0) != old.get("value", 0):
            found.append(causes.forbidden("value", "may not be changed in an update."))
        return found + causes.immutable(
            "preemptionPolicy", new.get("preemptionPolicy"), old.get("preemptionPolicy")
        )


class RuntimeClassStrategy(Strategy):
    """RuntimeClasses: the handler is for life."""

    allow_create_on_update = True
    allow_unconditional_update = False
    checks_required = False
    known_finalizers = False

    def check(self, obj: Obj) -> list[Cause]:
        """The handler is a DNS label; overhead and scheduling are those of pods."""
        found = ruled("handler", obj.get("handler") or "", names.dns_label)
        for resource, amount in meta.get(obj, "overhead.podFixed", {}).items():
            field = f"overhead.limits[{resource}]"
            found += [*check_container_resource(resource, field), *check_amount(resource, amount, field)]
        scheduling = obj.get("scheduling") or {}
        found += validate_labels(scheduling.get("nodeSelector"), "scheduling.nodeSelector")
        tolerations = scheduling.get("tolerations") or []
        found += check_tolerations(tolerations, "scheduling.tolerations.tolerations")
        for at, toleration in enumerate(tolerations):
            if toleration in tolerations[:at]:
                found.append(causes.duplicate(f"scheduling.tolerations[{at}]", toleration))
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The handler cannot change."""
        return causes.immutable("handler", new.get("handler"), old.get("handler"))


class LeaseStrategy(Strategy):
    """Leases, created on renewal if need be."""

    known_finalizers = False

    allow_create_on_update = True
    allow_unconditional_update = False

    def check(self, obj: Obj) -> list[Cause]:
        """Durations and counts make sense."""
        found: list[Cause] = []
        spec = obj.get("spec") or {}
        duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
        if duration is not None and duration <= 0:
            found.append(causes.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
        if transitions is not None and transitions < 0:
            told = "must be greater than or equal to 0"
            found.append(causes.invalid("spec.leaseTransitions", transitions, told))
        return found
