"""Templates of pods: what is wrong with one, wherever it stands, and the resource that stores one by itself."""

from __future__ import annotations

from dataclasses import replace

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import podannotations, podcheck, podgates, podspec, podwarnings
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.validation import causes
from kdist.apiserver.validation.metadata import validate_annotations, validate_labels

_POLICIES = ("Always", "OnFailure", "Never")


class PodTemplateStrategy(Strategy):
    """The PodTemplate resource."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Defaults of the pod inside."""
        podspec.default_template(obj.setdefault("template", {}))

    def check(self, obj: Obj) -> list[Cause]:
        """The pod inside."""
        template = obj.get("template") or {}
        found = check_template(template, "template", _POLICIES)
        return found + podgates.check(template.get("spec") or {}, "template.spec", self.features)

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """What the pod inside says in vain."""
        return podwarnings.of_template(obj.get("template") or {}, "template", self.features)


def check_template(template: Obj, field: str, policies: tuple[str, ...] = ("Always",)) -> list[Cause]:
    """Causes for a PodTemplateSpec whose restart policy has to be one of ``policies``."""
    spec = template.get("spec") or {}
    found = check_template_metadata(template, field)
    found += podcheck.check_spec(spec, f"{field}.spec")
    if spec.get("ephemeralContainers"):
        told = "ephemeral containers not allowed in pod template"
        found.append(causes.forbidden(f"{field}.spec.ephemeralContainers", told))
    policy = spec.get("restartPolicy")
    if policy in _POLICIES and policy not in policies:
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
        for cause in podannotations.check(annotations, spec)
    ]
