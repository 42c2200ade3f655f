"""Admission policies that validate or mutate, and their bindings: defaults, and what a binding may say."""

from __future__ import annotations

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import admissionrules as rules
from kdist.apiserver.registry import policyparameters
from kdist.apiserver.registry.base import USERS_METADATA, Strategy
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.registry.policychecks import (
    MutatingPolicyCheck,
    ValidatingPolicyCheck,
    check_operations,
)
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.conditions import check_conditions
from kdist.apiserver.validation.fields import needed

ACTIONS = ("Audit", "Deny", "Warn")


class _PolicyStrategy(Strategy):
    """What policies share."""

    allow_unconditional_update = False
    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Fail closed, match everything equivalent."""
        spec = obj.setdefault("spec", {})
        fill(spec, failurePolicy="Fail")
        if (constraints := spec.get("matchConstraints")) is not None:
            default_match(constraints)


class AdmissionPolicyStrategy(_PolicyStrategy):
    """ValidatingAdmissionPolicies."""

    known_finalizers = False
    status_keeps = USERS_METADATA

    def check(self, obj: Obj) -> list[Cause]:
        """The rules for requests, the expressions, their messages."""
        return ValidatingPolicyCheck(obj).causes()

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Warnings and conditions are whole."""
        found, status = super().validate_status_update(new, old), new.get("status") or {}
        for at, warning in enumerate(meta.get(status, "typeChecking.expressionWarnings", [])):
            where = f"status.typeChecking.expressionWarnings[{at}]"
            found += needed(warning, where, "fieldRef", "warning")
        return [*found, *check_conditions(status.get("conditions") or [], "status.conditions")]


class MutatingPolicyStrategy(_PolicyStrategy):
    """MutatingAdmissionPolicies."""

    def check(self, obj: Obj) -> list[Cause]:
        """The rules for requests, the expressions, when to apply them again."""
        return MutatingPolicyCheck(obj).causes()


class _BindingStrategy(Strategy):
    """What bindings share."""

    allow_unconditional_update = False
    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Match everything equivalent."""
        if (resources := meta.get(obj, "spec.matchResources")) is not None:
            default_match(resources)

    def check(self, obj: Obj) -> list[Cause]:
        """A policy, its parameters, the requests."""
        spec = obj.get("spec") or {}
        policy = spec.get("policyName")
        if not policy:
            found = [causes.required("spec.policyName")]
        else:
            found = [causes.invalid("spec.policyName", policy, told) for told in names.dns_subdomain(policy)]
        found += policyparameters.check_reference(spec.get("paramRef"), "spec.paramRef")
        return found + rules.check_match_resources(spec.get("matchResources"), "spec.matchResources")


class AdmissionPolicyBindingStrategy(_BindingStrategy):
    """ValidatingAdmissionPolicyBindings."""

    known_finalizers = False

    def check(self, obj: Obj) -> list[Cause]:
        """What to do, too."""
        actions = (obj.get("spec") or {}).get("validationActions") or []
        return [*super().check(obj), *_check_actions(actions, "spec.validationActions")]


class MutatingPolicyBindingStrategy(_BindingStrategy):
    """MutatingAdmissionPolicyBindings."""

    def default(self, obj: Obj) -> None:
        """Refuse where parameters are missing, too."""
        super().default(obj)
        if (ref := meta.get(obj, "spec.paramRef")) is not None:
            fill(ref, parameterNotFoundAction="Deny")

    def check(self, obj: Obj) -> list[Cause]:
        """The requests are ones that can be changed."""
        resources = (obj.get("spec") or {}).get("matchResources") or {}
        return [*super().check(obj), *check_operations(resources, "spec.matchResources")]


def default_match(resources: Obj) -> None:
    """Match everything equivalent, everywhere."""
    fill(resources, matchPolicy="Equivalent")
    resources.setdefault("namespaceSelector", {})
    resources.setdefault("objectSelector", {})
    for field in ("resourceRules", "excludeResourceRules"):
        for rule in resources.get(field) or ():
            fill(rule, scope="*")


def _check_actions(actions: list[str], where: str) -> list[Cause]:
    found: list[Cause] = []
    for at, action in enumerate(actions):
        if action not in ACTIONS:
            found.append(causes.not_supported(f"{where}[{at}]", action, ACTIONS))
        if action in actions[:at]:
            found.append(causes.duplicate(f"{where}[{at}]", action))
    if "Deny" in actions and "Warn" in actions:
        told = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API "
            "response and headers serves no purpose)"
        )
        found.append(rules.invalid_list(where, actions, told, "admissionregistration.ValidationAction"))
    if not actions:
        found.append(causes.required(where, "at least one validation action is required"))
    return found
