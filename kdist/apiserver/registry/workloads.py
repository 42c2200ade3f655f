"""What the controllers that keep pods of a template share: their selector, their template, their scale."""

from __future__ import annotations

from typing import ClassVar

from kdist.api import meta, selectors
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import podgates, podspec, podwarnings
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.counts import not_negative
from kdist.apiserver.registry.labelselectors import check_label_selector
from kdist.apiserver.registry.podtemplates import check_template
from kdist.apiserver.validation import causes


class WorkloadStrategy(Strategy):
    """What all of them share: a selector that matches the template and cannot change, a scale."""

    tracks_generation = True
    #: What is said of a selector that cannot be read, besides what is wrong in it.
    unreadable_selector: ClassVar[str | None] = "invalid label selector"
    #: Whose pods may have no deadline, in the words of the refusal.
    without_deadline: ClassVar[str] = "ReplicaSet"
    #: What has an empty selector, in the words of its refusal; its kind if none.
    kind_of_selector: ClassVar[str] = ""

    def default(self, obj: Obj) -> None:
        """Defaults of the template; families add their own."""
        podspec.default_template(obj.setdefault("spec", {}).setdefault("template", {}))

    def check(self, obj: Obj) -> list[Cause]:
        """Replica counts, the selector, the template."""
        spec = obj.get("spec") or {}
        found = [
            c for field in ("replicas", "minReadySeconds") for c in not_negative(spec, field, f"spec.{field}")
        ]
        kind = self.kind_of_selector or self.resource.kind.lower()
        found += check_selector(spec, "spec", kind, self.unreadable_selector)
        return found + self.check_pods(spec.get("template") or {})

    def check_pods(self, template: Obj) -> list[Cause]:
        """The template of the pods."""
        found = check_template(template, "spec.template") + self.check_deadline(template)
        return found + podgates.check(template.get("spec") or {}, "spec.template.spec", self.features)

    def check_deadline(self, template: Obj) -> list[Cause]:
        """Pods that are kept have no deadline."""
        if (template.get("spec") or {}).get("activeDeadlineSeconds") is None:
            return []
        told = f"activeDeadlineSeconds in {self.without_deadline} is not Supported"
        return [causes.forbidden("spec.template.spec.activeDeadlineSeconds", told)]

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """Names that pods inherit, what their template says in vain."""
        told = [] if old else podwarnings.of_name(meta.name(obj), podwarnings.POD_NAMES)
        return told + podwarnings.of_template(
            (obj.get("spec") or {}).get("template") or {}, "spec.template", self.features
        )

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The selector cannot change."""
        return causes.immutable(
            "spec.selector", (new.get("spec") or {}).get("selector"), (old.get("spec") or {}).get("selector")
        )

    def scale(self, obj: Obj) -> Obj:
        """Replicas and the selector as text."""
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        selector = spec.get("selector")
        is_map = self.resource.kind == "ReplicationController"
        parsed = selectors.from_labels(selector) if is_map else selectors.from_label_selector(selector)
        metadata = obj["metadata"]
        kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {k: metadata[k] for k in kept if k in metadata},
            "spec": {"replicas": spec["replicas"]} if spec.get("replicas") else {},
            "status": {"replicas": status.get("replicas", 0), "selector": str(parsed)},
        }

    def apply_scale(self, obj: Obj, scale: Obj) -> None:
        """Take the replicas."""
        obj.setdefault("spec", {})["replicas"] = (scale.get("spec") or {}).get("replicas", 0)


def check_scale(scale: Obj) -> list[Cause]:
    """Causes for an autoscaling/v1 Scale."""
    return not_negative(scale.get("spec") or {}, "replicas", "spec.replicas")


def check_selector(
    spec: Obj, field: str, kind: str, unreadable: str | None = "invalid label selector"
) -> list[Cause]:
    """The selector is there, not empty, well formed, and matches the template's labels.

    ``unreadable`` is what to add when there are causes for parts of the selector.
    """
    selector = spec.get("selector")
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    found: list[Cause] = []
    if selector is None:
        if unreadable is not None:
            found.append(causes.required(f"{field}.selector"))
    elif wrong := check_label_selector(selector, f"{field}.selector"):
        if unreadable is None:
            return wrong
        return [*wrong, causes.invalid(f"{field}.selector", selector, unreadable)]
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        told = f"empty selector is invalid for {kind}"
        found.append(causes.invalid(f"{field}.selector", selector, told))
    if not selectors.from_label_selector(selector).matches(labels):
        told = "`selector` does not match template `labels`"
        found.append(causes.invalid(f"{field}.template.metadata.labels", labels, told))
    return found
