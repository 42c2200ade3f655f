"""RBAC, disruption budgets, autoscalers, flow control, certificate requests, events, extensions."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy, keep
from kdist.apiserver.registry.podscheduling import check_label_selector
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.registry.workloads import check_int_or_percent, not_negative
from kdist.apiserver.validation import causes, names

_RBAC = "rbac.authorization.k8s.io"


class RoleStrategy(Strategy):
    """Roles and ClusterRoles."""

    name_rule = staticmethod(names.path_segment)

    def check(self, obj: Obj) -> list[Cause]:
        """Every rule says what may be done to what."""
        found: list[Cause] = []
        for at, rule in enumerate(obj.get("rules") or ()):
            found += self._rule(rule, f"rules[{at}]")
        for at, selector in enumerate(meta.get(obj, "aggregationRule.clusterRoleSelectors", [])):
            found += check_label_selector(selector, f"aggregationRule.clusterRoleSelectors[{at}]")
        return found

    def _rule(self, rule: Obj, where: str) -> list[Cause]:
        found: list[Cause] = []
        if not rule.get("verbs"):
            found.append(causes.required(f"{where}.verbs", "verbs must contain at least one value"))
        if rule.get("nonResourceURLs"):
            if self.resource.namespaced:
                told = "namespaced rules cannot apply to non-resource URLs"
                return [*found, causes.invalid(f"{where}.nonResourceURLs", rule["nonResourceURLs"], told)]
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                told = "rules cannot apply to both regular resources and non-resource URLs"
                found.append(causes.invalid(f"{where}.nonResourceURLs", rule["nonResourceURLs"], told))
            return found
        for field, told in (
            ("apiGroups", "resource rules must supply at least one api group"),
            ("resources", "resource rules must supply at least one resource"),
        ):
            if not rule.get(field):
                found.append(causes.required(f"{where}.{field}", told))
        return found


class RoleBindingStrategy(Strategy):
    """RoleBindings and ClusterRoleBindings: the role is for life."""

    name_rule = staticmethod(names.path_segment)

    def default(self, obj: Obj) -> None:
        """API groups that follow from the kinds."""
        if reference := obj.get("roleRef"):
            fill(reference, apiGroup=_RBAC)
        for subject in obj.get("subjects") or ():
            if subject.get("kind") in ("User", "Group"):
                fill(subject, apiGroup=_RBAC)

    def check(self, obj: Obj) -> list[Cause]:
        """The role and the subjects are of known kinds."""
        reference = obj.get("roleRef") or {}
        kinds = ("Role", "ClusterRole") if self.resource.namespaced else ("ClusterRole",)
        found: list[Cause] = []
        if reference.get("apiGroup", _RBAC) != _RBAC:
            found.append(causes.not_supported("roleRef.apiGroup", reference["apiGroup"], (_RBAC,)))
        if reference.get("kind") and reference["kind"] not in kinds:
            found.append(causes.not_supported("roleRef.kind", reference["kind"], kinds))
        for at, subject in enumerate(obj.get("subjects") or ()):
            where, kind = f"subjects[{at}]", subject.get("kind")
            if kind not in ("User", "Group", "ServiceAccount", None):
                found.append(causes.not_supported(f"{where}.kind", kind, ("User", "Group", "ServiceAccount")))
            if kind == "ServiceAccount" and not subject.get("namespace"):
                found.append(causes.required(f"{where}.namespace"))
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Another role needs another binding."""
        if new.get("roleRef") == old.get("roleRef"):
            return []
        return [causes.invalid("roleRef", new.get("roleRef"), "cannot change roleRef")]


class PodDisruptionBudgetStrategy(Strategy):
    """PodDisruptionBudgets."""

    tracks_generation = True
    allow_unconditional_update: ClassVar[bool] = False

    def check(self, obj: Obj) -> list[Cause]:
        """Either a minimum or a maximum, as a count or a percentage."""
        spec = obj.get("spec") or {}
        low, high = spec.get("minAvailable"), spec.get("maxUnavailable")
        found = check_label_selector(spec.get("selector"), "spec.selector")
        if low is not None and high is not None:
            told = "minAvailable and maxUnavailable cannot be both set"
            found.append(causes.invalid("spec", spec, told))
        for field, value in (("minAvailable", low), ("maxUnavailable", high)):
            if value is not None:
                found += check_int_or_percent(value, f"spec.{field}")
        return found


class HorizontalPodAutoscalerStrategy(Strategy):
    """HorizontalPodAutoscalers, both versions."""

    def default(self, obj: Obj) -> None:
        """At least one replica, 80% CPU."""
        spec = obj.setdefault("spec", {})
        fill(spec, minReplicas=1)
        if self.resource.version == "v1":
            fill(spec, targetCPUUtilizationPercentage=80)
        elif not spec.get("metrics"):
            target = {"type": "Utilization", "averageUtilization": 80}
            spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
        if behavior := spec.get("behavior"):
            _default_behavior(behavior)

    def check(self, obj: Obj) -> list[Cause]:
        """The range of replicas."""
        spec = obj.get("spec") or {}
        low, high = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
        found: list[Cause] = []
        if low < 1:
            found.append(causes.invalid("spec.minReplicas", low, "must be greater than or equal to 1"))
        if high < 1:
            found.append(causes.invalid("spec.maxReplicas", high, "must be greater than 0"))
        elif high < low:
            found.append(
                causes.invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`")
            )
        return found


def _default_behavior(behavior: Obj) -> None:
    quick = [{"type": "Pods", "value": 4, "periodSeconds": 15}]
    double = [{"type": "Percent", "value": 100, "periodSeconds": 15}]
    for direction, policies in (("scaleUp", quick + double), ("scaleDown", double)):
        fill(behavior.setdefault(direction, {}), selectPolicy="Max", policies=policies)
    fill(behavior["scaleUp"], stabilizationWindowSeconds=0)


class CertificateSigningRequestStrategy(Strategy):
    """CertificateSigningRequests: approved and issued by subresources."""

    name_rule = staticmethod(names.path_segment)

    def default(self, obj: Obj) -> None:
        """The usages of a serving certificate."""
        fill(obj.setdefault("spec", {}), usages=["digital signature", "key encipherment"])

    def check(self, obj: Obj) -> list[Cause]:
        """The request is PEM; it lives ten minutes at least."""
        spec = obj.get("spec") or {}
        found: list[Cause] = []
        if request := spec.get("request"):
            if b"BEGIN CERTIFICATE REQUEST" not in base64.b64decode(request):
                told = "PEM block type must be CERTIFICATE REQUEST"
                found.append(causes.invalid("spec.request", request, told))
        seconds = spec.get("expirationSeconds")
        if seconds is not None and seconds < 600:
            told = "may not specify a duration less than 600 seconds (10 minutes)"
            found.append(causes.invalid("spec.expirationSeconds", seconds, told))
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The spec is for life."""
        return causes.immutable("spec", new.get("spec"), old.get("spec"))

    def prepare_subresource_update(self, subresource: str, new: Obj, old: Obj) -> None:
        """``approval`` writes Approved and Denied, ``status`` the certificate and the other conditions."""
        wanted = new.get("status") or {}
        self.prepare_status_update(new, old)
        before = old.get("status") or {}
        status = dict(wanted if subresource == "status" else before)
        decided = ("Approved", "Denied")
        mine, theirs = (wanted, before) if subresource == "approval" else (before, wanted)
        conditions = [c for c in mine.get("conditions") or () if c.get("type") in decided]
        conditions += [c for c in theirs.get("conditions") or () if c.get("type") not in decided]
        for condition in conditions:
            fill(condition, status="True", lastUpdateTime=meta.now(), lastTransitionTime=meta.now())
        keep(status, {"conditions": conditions} if conditions else {}, "conditions")
        new["status"] = status

    def fields(self, obj: Obj) -> dict[str, str]:
        """By signer, too."""
        return {**super().fields(obj), "spec.signerName": meta.get(obj, "spec.signerName", "")}


class EventStrategy(Strategy):
    """Events of core/v1 and events.k8s.io/v1: selectable by what they are about."""

    allow_create_on_update: ClassVar[bool] = True

    def fields(self, obj: Obj) -> dict[str, str]:
        """The object, the reason, the source."""
        about = obj.get("involvedObject") or obj.get("regarding") or {}
        prefix = "involvedObject" if self.resource.group == "" else "regarding"
        keys = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
        source = meta.get(obj, "source.component") or obj.get("reportingComponent") or ""
        return {
            **super().fields(obj),
            **{f"{prefix}.{key}": about.get(key, "") for key in keys},
            "reason": obj.get("reason", ""),
            "reportingComponent": obj.get("reportingComponent") or obj.get("reportingController") or "",
            "source": source,
            "type": obj.get("type", ""),
        }

    def check(self, obj: Obj) -> list[Cause]:
        """An event lies in the namespace of what it is about."""
        about, field = obj.get("involvedObject") or {}, "involvedObject.namespace"
        space = about.get("namespace")
        if self.resource.group == "" and space and space != meta.namespace(obj):
            return [causes.invalid(field, space, "does not match event.namespace")]
        return []


class WebhookStrategy(Strategy):
    """Mutating and validating webhook configurations."""

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
            if service := meta.get(hook, "clientConfig.service"):
                fill(service, port=443)

    def check(self, obj: Obj) -> list[Cause]:
        """Names are unique and qualified; side effects are declared harmless."""
        found: list[Cause] = []
        seen: set[str] = set()
        for at, hook in enumerate(obj.get("webhooks") or ()):
            where, name = f"webhooks[{at}]", hook.get("name") or ""
            if name.count(".") < 2:
                told = "should be a domain with at least three segments separated by dots"
                found.append(causes.invalid(f"{where}.name", name, told))
            if name in seen:
                found.append(causes.duplicate(f"{where}.name", name))
            seen.add(name)
            effects = hook.get("sideEffects")
            if effects and effects not in ("None", "NoneOnDryRun"):
                found.append(causes.not_supported(f"{where}.sideEffects", effects, ("None", "NoneOnDryRun")))
            client = hook.get("clientConfig") or {}
            if bool(client.get("url")) is bool(client.get("service")):
                told = "exactly one of url or service is required"
                found.append(causes.required(f"{where}.clientConfig", told))
        return found


class AdmissionPolicyStrategy(Strategy):
    """ValidatingAdmissionPolicies."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Fail closed, match everything equivalent."""
        spec = obj.setdefault("spec", {})
        fill(spec, failurePolicy="Fail")
        if constraints := spec.get("matchConstraints"):
            fill(constraints, matchPolicy="Equivalent")
            constraints.setdefault("namespaceSelector", {})
            constraints.setdefault("objectSelector", {})
            for rule in (
                *(constraints.get("resourceRules") or ()),
                *(constraints.get("excludeResourceRules") or ()),
            ):
                fill(rule, scope="*")


class CustomResourceDefinitionStrategy(Strategy):
    """CustomResourceDefinitions."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Names that follow from the kind; no conversion."""
        spec = obj.setdefault("spec", {})
        crd_names = spec.setdefault("names", {})
        kind = crd_names.get("kind") or ""
        fill(crd_names, singular=kind.lower(), listKind=f"{kind}List")
        fill(spec, conversion={"strategy": "None"})

    def prepare_create(self, obj: Obj) -> None:
        """Nothing is accepted yet; the storage version is known."""
        super().prepare_create(obj)
        stored = [v["name"] for v in meta.get(obj, "spec.versions", []) if v.get("storage")]
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
        """The name is PLURAL.GROUP; exactly one version is stored, each has a schema."""
        spec = obj.get("spec") or {}
        found: list[Cause] = []
        wanted = f"{meta.get(spec, 'names.plural', '')}.{spec.get('group', '')}"
        if meta.name(obj) != wanted:
            told = 'must be spec.names.plural+"."+spec.group'
            found.append(causes.invalid("metadata.name", meta.name(obj), told))
        if spec.get("scope") not in ("Cluster", "Namespaced"):
            found.append(causes.not_supported("spec.scope", spec.get("scope"), ("Cluster", "Namespaced")))
        versions = spec.get("versions") or []
        if sum(bool(v.get("storage")) for v in versions) != 1:
            told = "must have exactly one version marked as storage version"
            found.append(causes.invalid("spec.versions", [v.get("name") for v in versions], told))
        for at, version in enumerate(versions):
            if not meta.get(version, "schema.openAPIV3Schema"):
                where = f"spec.versions[{at}].schema.openAPIV3Schema"
                found.append(causes.required(where, "schemas are required"))
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Group, scope and kind are for life."""
        return [
            cause
            for field in ("group", "scope", "names.kind")
            for cause in causes.immutable(
                f"spec.{field}", meta.get(new, f"spec.{field}"), meta.get(old, f"spec.{field}")
            )
        ]


class APIServiceStrategy(Strategy):
    """APIServices: a group and version served by this server or another one."""

    name_rule = staticmethod(names.path_segment)

    def default(self, obj: Obj) -> None:
        """HTTPS."""
        if service := meta.get(obj, "spec.service"):
            fill(service, port=443)

    def prepare_create(self, obj: Obj) -> None:
        """What the server serves itself is available at once."""
        super().prepare_create(obj)
        obj["status"] = {}
        if not meta.get(obj, "spec.service"):
            local: dict[str, Any] = {"type": "Available", "status": "True", "reason": "Local"}
            local["message"] = "Local APIServices are always available"
            local["lastTransitionTime"] = meta.now()
            obj["status"]["conditions"] = [local]

    def check(self, obj: Obj) -> list[Cause]:
        """The name is VERSION.GROUP; priorities are positive."""
        spec = obj.get("spec") or {}
        wanted = f"{spec.get('version', '')}.{spec.get('group', '')}"
        found: list[Cause] = []
        if meta.name(obj) != wanted:
            told = f'must be `spec.version+"."+spec.group`: {shown(wanted)}'
            found.append(causes.invalid("metadata.name", meta.name(obj), told))
        for field, limit in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
            value = spec.get(field, 0)
            if not 0 < value <= limit:
                told = f"must be positive and less than {limit}"
                found.append(causes.invalid(f"spec.{field}", value, told))
        return found


shown = causes.shown


class FlowSchemaStrategy(Strategy):
    """FlowSchemas."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """In the middle of the order."""
        fill(obj.setdefault("spec", {}), matchingPrecedence=1000)

    def check(self, obj: Obj) -> list[Cause]:
        """The order starts at one."""
        value = meta.get(obj, "spec.matchingPrecedence", 0)
        return (
            []
            if 1 <= value <= 10000
            else [causes.invalid("spec.matchingPrecedence", value, "must be a value between 1 and 10000")]
        )


class PriorityLevelStrategy(Strategy):
    """PriorityLevelConfigurations."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Shares, borrowing and queues of a limited level."""
        spec = obj.setdefault("spec", {})
        if spec.get("type") == "Exempt":
            fill(spec.setdefault("exempt", {}), nominalConcurrencyShares=0, lendablePercent=0)
        if limited := spec.get("limited"):
            fill(limited, nominalConcurrencyShares=30, lendablePercent=0)
            queuing = (limited.get("limitResponse") or {}).get("queuing")
            if queuing is not None:
                fill(queuing, queues=64, handSize=8, queueLengthLimit=50)

    def check(self, obj: Obj) -> list[Cause]:
        """The type is known."""
        kind, supported = meta.get(obj, "spec.type", ""), ("Exempt", "Limited")
        found = not_negative(
            obj.get("spec") or {}, "nominalConcurrencyShares", "spec.nominalConcurrencyShares"
        )
        return found if kind in supported else [*found, causes.not_supported("spec.type", kind, supported)]
