"""The policies and bindings there are, compiled when they change, and found quickly for a kind of request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from kdist.api.kinds import Kind
from kdist.apiserver.admission.base import Request
from kdist.apiserver.admission.policies import compilation
from kdist.apiserver.admission.policies.compilation import AnyPolicy, Binding
from kdist.apiserver.admission.webhooks.configuration import GROUP
from kdist.apiserver.ports import Obj, Reader
from kdist.telemetry import log

POLICIES = Kind(GROUP, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False)
BINDINGS = Kind(
    GROUP, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", namespaced=False
)
MUTATING_POLICIES = Kind(
    GROUP, "v1alpha1", "mutatingadmissionpolicies", "MutatingAdmissionPolicy", namespaced=False
)
MUTATING_BINDINGS = Kind(
    GROUP, "v1alpha1", "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", namespaced=False
)
P = TypeVar("P", bound=AnyPolicy)
_log = log.get(__name__)


class Configured(Generic[P]):
    """Follows both kinds of objects. True when there is a policy that is bound."""

    def __init__(self, reader: Reader, policies: Kind, bindings: Kind, compile: Callable[[Obj], P]) -> None:
        self._compile = compile
        self._policies: dict[str, P] = {}
        self._bindings: dict[str, Binding] = {}
        self._bound: dict[str, tuple[Binding, ...]] = {}
        self._effective: tuple[P, ...] = ()
        self._known: dict[tuple[str, str, str, bool], tuple[P, ...]] = {}
        reader.on_change(policies, self._policy_changed)
        reader.on_change(bindings, self._binding_changed)

    def __bool__(self) -> bool:
        return bool(self._effective)

    def bindings_of(self, policy: str) -> tuple[Binding, ...]:
        """The bindings of a policy."""
        return self._bound.get(policy, ())

    def policies_for(self, request: Request) -> tuple[P, ...]:
        """The bound policies that may concern such requests, by their operations and resources' names."""
        key = (request.verb, request.resource.plural, request.subresource, request.resource.namespaced)
        found = self._known.get(key)
        if found is None:
            found = tuple(policy for policy in self._effective if _may_concern(policy, request))
            self._known[key] = found
        return found

    def _policy_changed(self, _: str, name: str, obj: Obj | None) -> None:
        self._policies.pop(name, None)
        if obj is not None:
            try:
                self._policies[name] = self._compile(obj)
            except Exception:  # noqa: BLE001 - what is stored may be from another time; the rest must go on
                _log.error("cannot read an admission policy", exc_info=True, name=name)
        self._refresh()

    def _binding_changed(self, _: str, name: str, obj: Obj | None) -> None:
        self._bindings.pop(name, None)
        if obj is not None:
            try:
                self._bindings[name] = compilation.binding(obj)
            except Exception:  # noqa: BLE001 - as above
                _log.error("cannot read an admission policy binding", exc_info=True, name=name)
        self._refresh()

    def _refresh(self) -> None:
        bound: dict[str, list[Binding]] = {}
        for name in sorted(self._bindings):
            bound.setdefault(self._bindings[name].policy, []).append(self._bindings[name])
        self._bound = {policy: tuple(bindings) for policy, bindings in bound.items()}
        self._effective = tuple(self._policies[name] for name in sorted(self._policies) if name in bound)
        self._known = {}


def _may_concern(policy: AnyPolicy, request: Request) -> bool:
    """Whether a rule has the operation and the resource, in whatever group and version."""
    for named in policy.matches.rules:
        rule = named.rule
        operation = "*" in rule.operations or request.verb.upper() in rule.operations
        if operation and any(_names(wanted, request) for wanted in rule.resources):
            return True
    return not policy.matches.rules


def _names(wanted: str, request: Request) -> bool:
    resource, _, sub = wanted.partition("/")
    return resource in ("*", request.resource.plural) and sub in ("*", request.subresource)
