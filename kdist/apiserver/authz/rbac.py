"""Role-based access control from the watch caches.

Roles are compiled when they change. Bindings are indexed by subject, and what a user holds is put together
once and kept until any of the four RBAC resources changes: a decision is then a few set lookups.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kdist.api.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from kdist.apiserver.authn.user import User, split_service_account
from kdist.apiserver.authz.attributes import NO_OPINION, Attributes, Decision
from kdist.apiserver.authz.rules import Rule, parse_rules
from kdist.apiserver.ports import Obj, Reader

# Users whose rules are kept at the same time.
CACHED_USERS = 4096


@dataclass(frozen=True, slots=True)
class Binding:
    """A role binding, seen from one of its subjects. ``namespace`` is empty when it is cluster-wide."""

    namespace: str
    name: str
    role: tuple[str, str]
    subject: str

    @property
    def reason(self) -> str:
        """Why a request was allowed, for SubjectAccessReview and audit."""
        binding = (
            f'RoleBinding "{self.name}/{self.namespace}"'
            if self.namespace
            else f'ClusterRoleBinding "{self.name}"'
        )
        kind = "Role" if self.role[0] else "ClusterRole"
        return f'RBAC: allowed by {binding} of {kind} "{self.role[1]}" to {self.subject}'


Grant = tuple[Binding, tuple[Rule, ...]]


class RBAC:
    """Decides by the cluster's roles and bindings; never denies, only allows or has no opinion."""

    def __init__(self, reader: Reader) -> None:
        # (namespace or "", name) of a role -> rules; subject -> binding -> what it says
        self._roles: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self._bindings: dict[str, dict[tuple[str, str], Binding]] = {}
        self._subjects: dict[tuple[str, str], list[str]] = {}
        self._grants: dict[tuple[str, tuple[str, ...]], dict[str, list[Grant]]] = {}
        for kind in (CLUSTER_ROLES, ROLES):
            reader.on_change(kind, self._role_changed)
        for kind in (CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS):
            reader.on_change(kind, self._binding_changed)

    def authorize(self, attributes: Attributes) -> Decision:
        """Allow when any rule of any binding of the user does."""
        held = self._held(attributes.user)
        scopes = [""]
        if attributes.resource and attributes.namespace:
            scopes.append(attributes.namespace)
        for scope in scopes:
            for binding, rules in held.get(scope, ()):
                if any(rule.allows(attributes) for rule in rules):
                    return Decision(allowed=True, reason=binding.reason)
        return NO_OPINION

    def rules(self, user: User, namespace: str) -> Iterator[Rule]:
        """Everything the user holds cluster-wide and in the namespace."""
        held = self._held(user)
        for scope in {"", namespace}:
            for _, rules in held.get(scope, ()):
                yield from rules

    def role_rules(self, namespace: str, ref: Obj) -> tuple[Rule, ...] | None:
        """The rules of a roleRef found in a binding of this namespace; None when the role is missing."""
        return self._roles.get((namespace if ref.get("kind") == "Role" else "", ref.get("name", "")))

    def _held(self, user: User) -> dict[str, list[Grant]]:
        key = (user.name, user.groups)
        held = self._grants.get(key)
        if held is None:
            if len(self._grants) >= CACHED_USERS:
                self._grants.clear()
            held = self._grants[key] = self._collect(user)
        return held

    def _collect(self, user: User) -> dict[str, list[Grant]]:
        held: dict[str, list[Grant]] = {}
        for subject in _subject_keys(user):
            for binding in self._bindings.get(subject, {}).values():
                rules = self._roles.get(binding.role)
                if rules:
                    held.setdefault(binding.namespace, []).append((binding, rules))
        return held

    def _role_changed(self, namespace: str, name: str, role: Obj | None) -> None:
        self._grants.clear()
        if role is None:
            self._roles.pop((namespace, name), None)
        else:
            self._roles[namespace, name] = parse_rules(role)

    def _binding_changed(self, namespace: str, name: str, binding: Obj | None) -> None:
        self._grants.clear()
        for subject in self._subjects.pop((namespace, name), ()):
            self._bindings[subject].pop((namespace, name), None)
        if binding is None:
            return
        ref = binding.get("roleRef") or {}
        role = (namespace if ref.get("kind") == "Role" else "", ref.get("name", ""))
        subjects = [(_subject_key(s, namespace), _shown(s)) for s in binding.get("subjects") or ()]
        self._subjects[namespace, name] = [key for key, _ in subjects]
        for key, shown in subjects:
            self._bindings.setdefault(key, {})[namespace, name] = Binding(namespace, name, role, shown)


def _subject_keys(user: User) -> Iterator[str]:
    yield f"User {user.name}"
    account = split_service_account(user.name)
    if account:
        yield f"ServiceAccount {account[0]}/{account[1]}"
    for group in user.groups:
        yield f"Group {group}"


def _subject_key(subject: Obj, namespace: str) -> str:
    kind, name = subject.get("kind"), subject.get("name")
    if kind == "ServiceAccount":
        return f"ServiceAccount {subject.get('namespace') or namespace}/{name}"
    return f"{kind} {name}"


def _shown(subject: Obj) -> str:
    kind, name, namespace = subject.get("kind"), subject.get("name"), subject.get("namespace")
    return f'{kind} "{name}/{namespace}"' if namespace else f'{kind} "{name}"'
