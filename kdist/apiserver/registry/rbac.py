"""rbac.authorization.k8s.io: roles and their bindings."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.labelselectors import check_label_selector
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import needed, ruled

_RBAC = "rbac.authorization.k8s.io"


class RoleStrategy(Strategy):
    """Roles and ClusterRoles."""

    allow_create_on_update = True
    checks_required = False

    name_rule = staticmethod(names.path_segment)

    def check(self, obj: Obj) -> list[Cause]:
        """Every rule says what may be done to what."""
        found: list[Cause] = []
        for at, rule in enumerate(obj.get("rules") or ()):
            found += self._rule(rule, f"rules[{at}]")
        aggregation = obj.get("aggregationRule")
        if aggregation is not None and not aggregation.get("clusterRoleSelectors"):
            told = "at least one clusterRoleSelector required if aggregationRule is non-nil"
            found.append(causes.required("aggregationRule.clusterRoleSelectors", told))
        for at, selector in enumerate(meta.get(obj, "aggregationRule.clusterRoleSelectors", [])):
            where = f"aggregationRule.clusterRoleSelectors[{at}]"
            if wrong := check_label_selector(selector, where):
                found += [*wrong, causes.invalid(where, None, "invalid label selector.")]
        return found

    def _rule(self, rule: Obj, where: str) -> list[Cause]:
        found: list[Cause] = []
        if not rule.get("verbs"):
            found.append(causes.required(f"{where}.verbs", "verbs must contain at least one value"))
        if rule.get("nonResourceURLs"):
            if self.resource.namespaced:
                told = "namespaced rules cannot apply to non-resource URLs"
                found.append(causes.invalid(f"{where}.nonResourceURLs", rule["nonResourceURLs"], told))
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
    checks_required = False

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
        if reference.get("kind") not in kinds:
            found.append(causes.not_supported("roleRef.kind", reference.get("kind") or "", kinds))
        if name := reference.get("name"):
            found += ruled("roleRef.name", name, names.path_segment)
        else:
            found.append(causes.required("roleRef.name"))
        for at, subject in enumerate(obj.get("subjects") or ()):
            found += _subject(subject, f"subjects[{at}]", namespaced=self.resource.namespaced)
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Another role needs another binding."""
        if new.get("roleRef") == old.get("roleRef"):
            return []
        return [causes.invalid("roleRef", new.get("roleRef"), "cannot change roleRef")]


def _subject(subject: Obj, where: str, *, namespaced: bool) -> Iterator[Cause]:
    yield from needed(subject, where, "name")
    kind, group, name = (subject.get(f) or "" for f in ("kind", "apiGroup", "name"))
    if kind == "ServiceAccount":
        if name:
            yield from ruled(f"{where}.name", name, names.dns_subdomain)
        if group:
            yield causes.not_supported(f"{where}.apiGroup", group, ("",))
        if not namespaced and not subject.get("namespace"):
            yield causes.required(f"{where}.namespace")
    elif kind in ("User", "Group"):
        if group != _RBAC:
            yield causes.not_supported(f"{where}.apiGroup", group, (_RBAC,))
    else:
        yield causes.not_supported(f"{where}.kind", kind, ("ServiceAccount", "User", "Group"))
