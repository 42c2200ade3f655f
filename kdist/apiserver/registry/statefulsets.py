"""StatefulSets: pods with names and volumes of their own, and what may change about them."""

from __future__ import annotations

from typing import ClassVar

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.counts import at_most, check_int_or_percent, not_negative
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.registry.podtemplates import check_template_metadata
from kdist.apiserver.registry.workloads import WorkloadStrategy
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.enums import one_of

_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_FIXED = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
    "'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


class StatefulSetStrategy(WorkloadStrategy):
    """StatefulSets. What is in their pods is judged when they are made."""

    unreadable_selector = ""
    without_deadline = "StatefulSet"
    name_rule = staticmethod(names.dns_label_of_host)
    initial_status: ClassVar[Obj] = {"replicas": 0, "availableReplicas": 0}

    def default(self, obj: Obj) -> None:
        """One replica, in order, rolled one by one, volumes kept."""
        super().default(obj)
        spec = obj["spec"]
        fill(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady")
        update = spec.setdefault("updateStrategy", {})
        given = dict(update)
        fill(update, type="RollingUpdate")
        if given == {} or "rollingUpdate" in update:
            fill(update.setdefault("rollingUpdate", {}), partition=0)
            if self.features("MaxUnavailableStatefulSet"):
                fill(update["rollingUpdate"], maxUnavailable=1)
        kept = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
        fill(kept, whenDeleted="Retain", whenScaled="Retain")
        for claim in spec.get("volumeClaimTemplates") or ():
            fill(claim, apiVersion="v1", kind="PersistentVolumeClaim", metadata={})
            fill(claim.setdefault("spec", {}), volumeMode="Filesystem")
            claim["status"] = {**(claim.get("status") or {}), "phase": "Pending"}

    def missing(self, obj: Obj) -> list[Cause]:
        """Not in the pods."""
        return [c for c in super().missing(obj) if not c.field.startswith("spec.template.spec.")]

    def check_pods(self, template: Obj) -> list[Cause]:
        """Labels, annotations and the restart policy."""
        found = check_template_metadata(template, "spec.template")
        policy = (template.get("spec") or {}).get("restartPolicy")
        if policy and policy != "Always":
            where = "spec.template.spec.restartPolicy"
            found.append(causes.not_supported(where, policy, ("Always",)))
        return found + self.check_deadline(template)

    def check(self, obj: Obj) -> list[Cause]:
        """Order and update strategy as well."""
        found = super().check(obj)
        spec = obj.get("spec") or {}
        policy = spec.get("podManagementPolicy")
        if policy not in ("OrderedReady", "Parallel"):
            told = "must be 'OrderedReady' or 'Parallel'"
            found.append(causes.invalid("spec.podManagementPolicy", policy, told))
        found += _check_set_update(spec.get("updateStrategy") or {})
        kept = spec.get("persistentVolumeClaimRetentionPolicy") or {}
        for key in ("whenDeleted", "whenScaled"):
            found += one_of(kept, key, "spec.persistentVolumeClaimRetentionPolicy", ("Retain", "Delete"))
        return found + not_negative(spec.get("ordinals") or {}, "start", "spec.ordinals.start")

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Parts are not more than the whole."""
        found = super().validate_status_update(new, old)
        status = new.get("status") or {}
        for key in ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"):
            found += at_most(status, key, "replicas")
        return found + at_most(status, "availableReplicas", "readyReplicas")

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Only what a running set can follow."""
        spec, before = new.get("spec") or {}, old.get("spec") or {}
        if all(spec.get(f) == before.get(f) for f in {*spec, *before} - {*_MUTABLE}):
            return []
        return [causes.forbidden("spec", _FIXED)]


def _check_set_update(update: Obj) -> list[Cause]:
    kind, rolling, where = update.get("type") or "", update.get("rollingUpdate"), "spec.updateStrategy"
    if not kind:
        return [causes.required(where)]
    if kind not in ("OnDelete", "RollingUpdate"):
        return [causes.invalid(where, update, "must be 'RollingUpdate' or 'OnDelete'")]
    if kind == "OnDelete" and rolling is not None:
        told = "only allowed for updateStrategy 'RollingUpdate'"
        return [causes.invalid(f"{where}.rollingUpdate", rolling, told)]
    found = not_negative(rolling or {}, "partition", f"{where}.rollingUpdate.partition")
    if (unavailable := (rolling or {}).get("maxUnavailable")) is not None:
        found += check_int_or_percent(unavailable, f"{where}.rollingUpdate.maxUnavailable")
        if unavailable in (0, "0%"):
            found.append(causes.invalid(f"{where}.rollingUpdate.maxUnavailable", unavailable, "cannot be 0"))
    return found
