"""rbac.authorization.k8s.io: roles and their bindings."""

from __future__ import annotations

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.labelselectors import check_label_selector
from kdist.apiserver.validation import causes, names

_RBAC = "rbac.authorization.k8s.io"


class RoleStrategy(Strategy):
    """Roles and ClusterRoles."""

    allow_create_on_update = True

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

    allow_create_on_update = True

    name_rule = staticmethod(names.path_segment)

    def default(self, obj: Obj) -> None:
        """API groups that follow from the kinds."""
        referring = [obj["roleRef"]] if obj.get("roleRef") else []
        referring += [s for s in obj.get("subjects") or () if s.get("kind") in ("User", "Group")]
        for reference in referring:  # Go clients send an empty group where they mean none
            reference["apiGroup"] = reference.get("apiGroup") or _RBAC

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
                found.append(causes.not_supported(f"{where}.kind", kind, ("ServiceAccount", "User", "Group")))
            if kind == "ServiceAccount" and not subject.get("namespace"):
                found.append(causes.required(f"{where}.namespace"))
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Another role needs another binding."""
        if new.get("roleRef") == old.get("roleRef"):
            return []
        return [causes.invalid("roleRef", new.get("roleRef"), "cannot change roleRef")]
