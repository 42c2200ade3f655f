"""What is left of a namespace that is going away, and how its status tells. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from kdist.api import meta, pods
from kdist.api.kinds import PODS
from kdist.api.meta import Obj
from kdist.controllers.discovery import Served

FINALIZER = "kubernetes"


@dataclass(slots=True)
class Remains:
    """What one pass over the contents found."""

    counts: Counter[str] = field(default_factory=Counter)  # group resource -> objects
    finalizers: Counter[str] = field(default_factory=Counter)  # finalizer -> objects
    discovery_failures: dict[str, str] = field(default_factory=dict)
    content_failures: list[str] = field(default_factory=list)
    wait_seconds: float = 0.0

    @property
    def nothing(self) -> bool:
        """Whether the namespace is proven empty."""
        return not (self.counts or self.discovery_failures or self.content_failures)


def order(resources: list[Served]) -> list[Served]:
    """Namespaced resources that can be listed and deleted; pods first, since they may still write."""
    able = [s for s in resources if s.kind.namespaced and {"list", "delete"} <= s.verbs]
    return sorted(able, key=lambda s: s.kind.plural != PODS.plural or s.kind.group != "")


def is_finalized(namespace: Obj) -> bool:
    """Whether no finalizer holds the namespace."""
    return not meta.get(namespace, "spec.finalizers")


def without_finalizer(namespace: Obj) -> Obj:
    """The body for the finalize subresource."""
    left = [f for f in meta.get(namespace, "spec.finalizers", ()) if f != FINALIZER]
    return {**namespace, "spec": {**(namespace.get("spec") or {}), "finalizers": left}}


def status(namespace: Obj, remains: Remains, now: str) -> Obj:
    """The namespace's status with one condition per question, answered yes or no."""
    told: Obj = {"status": {"conditions": list(meta.get(namespace, "status.conditions", ()))}}
    failures = "; ".join(f"{g}: {why}" for g, why in sorted(remains.discovery_failures.items()))
    resources = ", ".join(f"{name} has {n} resource instances" for name, n in sorted(remains.counts.items()))
    finalizers = ", ".join(f"{f} in {n} resource instances" for f, n in sorted(remains.finalizers.items()))
    for kind, problem, bad, good, fine in (
        (
            "NamespaceDeletionDiscoveryFailure",
            failures and f"Discovery failed for some groups: {failures}",
            "DiscoveryFailed",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "",
            "GroupVersionParsingFailed",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            "; ".join(remains.content_failures),
            "ContentDeletionFailed",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        (
            "NamespaceContentRemaining",
            resources and f"Some resources are remaining: {resources}",
            "SomeResourcesRemain",
            "ContentRemoved",
            "All content successfully removed",
        ),
        (
            "NamespaceFinalizersRemaining",
            finalizers and f"Some content in the namespace has finalizers remaining: {finalizers}",
            "SomeFinalizersRemain",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    ):
        value, reason, message = ("True", bad, problem) if problem else ("False", good, fine)
        pods.set_condition(told, kind, value, reason, message, now)
    return {"phase": "Terminating", "conditions": told["status"]["conditions"]}
