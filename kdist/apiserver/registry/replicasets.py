"""ReplicaSets and ReplicationControllers, which keep a number of pods and know nothing of rollouts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from kdist.api import selectors
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.counts import not_negative
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.registry.workloads import WorkloadStrategy
from kdist.apiserver.validation import causes


class ReplicaSetStrategy(WorkloadStrategy):
    """ReplicaSets."""

    initial_status: ClassVar[Obj] = {"replicas": 0}
    kind_of_selector = "deployment"  # what upstream tells of an empty one here, too

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """No count is negative, or more than there are."""
        return [*super().validate_status_update(new, old), *_counts(new.get("status") or {})]

    def default(self, obj: Obj) -> None:
        """One replica."""
        super().default(obj)
        fill(obj["spec"], replicas=1)


def _counts(status: Obj) -> Iterator[Cause]:
    counts = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    for field in (*counts, "observedGeneration"):
        yield from not_negative(status, field, f"status.{field}")
    every, ready = status.get("replicas", 0), status.get("readyReplicas", 0)
    for field in counts[1:]:
        if (count := status.get(field, 0)) > every:
            yield causes.invalid(f"status.{field}", count, "cannot be greater than status.replicas")
    if (available := status.get("availableReplicas", 0)) > ready:
        yield causes.invalid("status.availableReplicas", available, "cannot be greater than readyReplicas")


class ReplicationControllerStrategy(ReplicaSetStrategy):
    """ReplicationControllers: a label map for a selector, taken from the template when missing."""

    orphans_by_default: ClassVar[bool] = True
    without_deadline = "ReplicationController"

    def fields(self, obj: Obj) -> dict[str, str]:
        """By the number of replicas, too."""
        replicas = (obj.get("status") or {}).get("replicas", 0)
        return {**super().fields(obj), "status.replicas": str(replicas)}

    def default(self, obj: Obj) -> None:
        """Selector and labels come from the template."""
        spec = obj.setdefault("spec", {})
        fill(spec, replicas=1)
        if "template" not in spec:  # of all workloads, only here it may be missed
            return
        super().default(obj)
        metadata = spec["template"].setdefault("metadata", {})
        metadata.setdefault("creationTimestamp", None)  # upstream writes it here, and has it owned
        if labels := metadata.get("labels"):
            fill(spec, selector=dict(labels))
            if not obj.setdefault("metadata", {}).get("labels"):
                obj["metadata"]["labels"] = dict(labels)

    def check(self, obj: Obj) -> list[Cause]:
        """The selector is a map here."""
        spec = obj.get("spec") or {}
        found = not_negative(spec, "replicas", "spec.replicas")
        found += not_negative(spec, "minReadySeconds", "spec.minReadySeconds")
        selector = spec.get("selector") or {}
        if not selector:
            found.append(causes.required("spec.selector"))
        if "template" not in spec:
            return [*found, causes.required("spec.template")]
        labels = (spec["template"].get("metadata") or {}).get("labels") or {}
        if selector and not selectors.from_labels(selector).matches(labels):
            told = "`selector` does not match template `labels`"
            found.append(causes.invalid("spec.template.metadata.labels", labels, told))
        return found + self.check_pods(spec["template"])

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Here the selector may change."""
        return []
