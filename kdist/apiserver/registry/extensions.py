"""What extends the API: webhooks, custom resource definitions, aggregated groups."""

from __future__ import annotations

import base64
from typing import Any

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import admissionrules
from kdist.apiserver.registry.base import USERS_METADATA, Strategy
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.registry.webhookclients import check_client
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import word
from kdist.apiserver.validation.metadata import validate_metadata_update


class WebhookStrategy(Strategy):
    """Mutating and validating webhook configurations."""

    allow_unconditional_update = False
    checks_required = False
    known_finalizers = False
    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Fail closed, match everything equivalent, ten seconds."""
        for hook in obj.get("webhooks") or ():
            fill(hook, failurePolicy="Fail", matchPolicy="Equivalent", timeoutSeconds=10)
            hook.setdefault("namespaceSelector", {})
            hook.setdefault("objectSelector", {})
            if "Mutating" in self.resource.kind:
                fill(hook, reinvocationPolicy="Never")
            for rule in hook.get("rules") or ():
                fill(rule, scope="*")
            if (service := meta.get(hook, "clientConfig.service")) is not None:
                fill(service, port=443)

    def check(self, obj: Obj) -> list[Cause]:
        """Names are unique and qualified; side effects are declared harmless."""
        found: list[Cause] = []
        seen: set[str] = set()
        for at, hook in enumerate(obj.get("webhooks") or ()):
            where, name = f"webhooks[{at}]", hook.get("name") or ""
            found += _hook_name(name, f"{where}.name")
            if name in seen:
                found.append(causes.duplicate(f"{where}.name", name))
            seen.add(name)
            effects, harmless = hook.get("sideEffects"), ("None", "NoneOnDryRun")
            if effects is None:
                found.append(
                    causes.required(f"{where}.sideEffects", f"must specify one of {', '.join(harmless)}")
                )
            else:
                found += word(f"{where}.sideEffects", effects, harmless)
            if "Mutating" in self.resource.kind and (policy := hook.get("reinvocationPolicy")) is not None:
                found += word(f"{where}.reinvocationPolicy", policy, ("IfNeeded", "Never"))
            found += check_client(hook.get("clientConfig") or {}, f"{where}.clientConfig")
            found += admissionrules.check_hook(hook, where)
        return found


def _hook_name(name: str, field: str) -> list[Cause]:
    """Three labels at least."""
    if not name:
        return [causes.required(field)]
    if complaints := names.dns_subdomain(name):
        return [causes.invalid(field, name, ",".join(complaints))]
    if name.count(".") < 2:
        told = "should be a domain with at least three segments separated by dots"
        return [causes.invalid(field, name, told)]
    return []


class CustomResourceDefinitionStrategy(Strategy):
    """CustomResourceDefinitions."""

    tracks_generation = True
    deletion_finalizers = ("customresourcecleanup.apiextensions.k8s.io",)
    known_finalizers = False
    status_keeps = USERS_METADATA

    def missing(self, obj: Obj) -> list[Cause]:
        """Of versions and conversion the checks of their own know better what is needed."""
        own = ("spec.versions[", "spec.conversion")
        return [cause for cause in super().missing(obj) if not cause.field.startswith(own)]

    def default(self, obj: Obj) -> None:
        """Names that follow from the kind; no conversion."""
        spec = obj.setdefault("spec", {})
        crd_names = spec.setdefault("names", {})
        kind = crd_names.get("kind") or ""
        if kind:
            fill(crd_names, singular=kind.lower(), listKind=f"{kind}List")
        fill(spec, conversion={"strategy": "None"})
        if (service := meta.get(spec, "conversion.webhook.clientConfig.service")) is not None:
            fill(service, port=443)

    def prepare_create(self, obj: Obj) -> None:
        """Nothing is accepted yet; the storage version is known."""
        super().prepare_create(obj)
        stored = [v.get("name", "") for v in meta.get(obj, "spec.versions", []) if v.get("storage")][:1]
        obj["status"] = {
            "conditions": [],
            "acceptedNames": {"plural": "", "kind": ""},
            "storedVersions": stored,
        }

    def prepare_update(self, new: Obj, old: Obj) -> None:
        """A new storage version is one more that objects may be stored as."""
        super().prepare_update(new, old)
        stored = new.setdefault("status", {}).setdefault("storedVersions", [])
        for version in meta.get(new, "spec.versions", []):
            if version.get("storage") and version["name"] not in stored:
                stored.append(version["name"])

    def check(self, obj: Obj) -> list[Cause]:
        """Everything the definition says makes sense."""
        from kdist.apiserver.crd import checks  # its parts stand on this package

        return [*checks.check(obj.get("spec") or {}), *checks.check_status(obj)]

    def validate(self, obj: Obj) -> list[Cause]:
        """As :meth:`check`; the name is PLURAL.GROUP, and groups of the Kubernetes project need its approval."""
        from kdist.apiserver.crd import approval

        spec = obj.get("spec") or {}
        wanted = f"{meta.get(spec, 'names.plural', '')}.{spec.get('group', '')}"

        def rule(name: str) -> list[str]:
            told = [] if name == wanted else ['must be spec.names.plural+"."+spec.group']
            return [*names.dns_subdomain(name), *told]

        found = [*self.validate_metadata(obj, rule), *self.check_content(obj)]
        return found + approval.check(obj, None)

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """What is being deleted and only loses its finalizers is not judged any more: it could never go."""
        if meta.is_deleting(old) and new["spec"] == old["spec"]:
            return validate_metadata_update(new["metadata"], old["metadata"])
        return super().validate_update(new, old)

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Group and plural are for life; scope and kind are once objects can exist."""
        from kdist.apiserver.crd import approval
        from kdist.apiserver.crd.definition import condition

        fields = ["group", "names.plural"]
        if condition(old, "Established"):
            fields += ["scope", "names.kind"]
        found = [
            cause
            for field in fields
            for cause in causes.immutable(
                f"spec.{field}", meta.get(new, f"spec.{field}"), meta.get(old, f"spec.{field}")
            )
        ]
        return found + approval.check(new, old)

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The accepted names are names."""
        from kdist.apiserver.crd import checks

        accepted = meta.get(new, "status.acceptedNames", {})
        given = checks.check_names(accepted, "status.acceptedNames", complete=False)
        return [*super().validate_status_update(new, old), *given]


class APIServiceStrategy(Strategy):
    """APIServices: a group and version served by this server or another one."""

    allow_unconditional_update = False
    known_finalizers = False
    status_keeps = USERS_METADATA

    def default(self, obj: Obj) -> None:
        """HTTPS."""
        if (service := meta.get(obj, "spec.service")) is not None:
            fill(service, port=443)

    def prepare_create(self, obj: Obj) -> None:
        """What the server serves itself is available at once."""
        super().prepare_create(obj)
        obj["status"] = {}
        if meta.get(obj, "spec.service") is None:
            local: dict[str, Any] = {"type": "Available", "status": "True", "reason": "Local"}
            local["message"] = "Local APIServices are always available"
            local["lastTransitionTime"] = meta.now()
            obj["status"]["conditions"] = [local]

    def check(self, obj: Obj) -> list[Cause]:
        """Priorities are positive; a Service is named whole."""
        spec = obj.get("spec") or {}
        group, version = spec.get("group") or "", spec.get("version") or ""
        found: list[Cause] = []
        if not group and version != "v1":
            told = "only v1 may have an empty group and it better be legacy kube"
            found.append(causes.required("spec.group", told))
        if group:
            found += [causes.invalid("spec.group", group, told) for told in names.dns_subdomain(group)]
        found += [causes.invalid("spec.version", version, told) for told in names.dns_1035_label(version)]
        for field, limit in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
            value = spec.get(field, 0)
            if not 0 < value <= limit:
                told = f"must be positive and less than {limit}"
                found.append(causes.invalid(f"spec.{field}", value, told))
        return found + _check_service(spec)

    def validate(self, obj: Obj) -> list[Cause]:
        """As :meth:`check`; the name is VERSION.GROUP."""
        spec = obj.get("spec") or {}
        wanted = f"{spec.get('version') or ''}.{spec.get('group') or ''}"

        def rule(name: str) -> list[str]:
            told = f'must be `spec.version+"."+spec.group`: {causes.shown(wanted)}'
            return names.path_segment(name) or ([] if name == wanted else [told])

        return [*self.validate_metadata(obj, rule), *self.check_content(obj)]


def _check_service(spec: Obj) -> list[Cause]:
    """Trust is of the Service's server; without a Service there is none."""
    service, insecure = spec.get("service"), bool(spec.get("insecureSkipTLSVerify"))
    found: list[Cause] = []
    if service is None:
        if bundle := spec.get("caBundle"):
            told = "local APIServices may not have a caBundle"
            size = len(base64.b64decode(bundle))
            found.append(causes.invalid("spec.caBundle", f"{size} bytes", told))
        if insecure:
            told = "local APIServices may not have insecureSkipTLSVerify"
            found.append(causes.invalid("spec.insecureSkipTLSVerify", True, told))
        return found
    found += [causes.required(f"spec.service.{f}") for f in ("namespace", "name") if not service.get(f)]
    for told in names.port_number(service.get("port", 443)):
        found.append(causes.invalid("spec.service.port", service["port"], f"port is not valid: {told}"))
    if insecure and spec.get("caBundle"):
        told = "may not be true if caBundle is present"
        found.append(causes.invalid("spec.insecureSkipTLSVerify", True, told))
    return found
