"""ValidatingAdmissionPolicies and their bindings: defaults, what a policy may say, expressions that compile."""

from __future__ import annotations

import re

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import admissionrules as rules
from kdist.apiserver.registry.base import USERS_METADATA, Strategy
from kdist.apiserver.registry.labelselectors import check_label_selector
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.conditions import check_conditions
from kdist.apiserver.validation.fields import needed

REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
ACTIONS = ("Audit", "Deny", "Warn")
MUTATED = ("CREATE", "UPDATE")
PATCHES = ("ApplyConfiguration", "JSONPatch")
REINVOCATIONS = ("IfNeeded", "Never")
ANNOTATIONS_LIMIT = 20
EXPRESSION_LIMIT = 5 * 1024  # bytes of an audit annotation's expression
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")


class AdmissionPolicyStrategy(Strategy):
    """ValidatingAdmissionPolicies."""

    allow_unconditional_update = False
    known_finalizers = False
    tracks_generation = True
    status_keeps = USERS_METADATA

    def default(self, obj: Obj) -> None:
        """Fail closed, match everything equivalent."""
        spec = obj.setdefault("spec", {})
        fill(spec, failurePolicy="Fail")
        if (constraints := spec.get("matchConstraints")) is not None:
            default_match(constraints)

    def check(self, obj: Obj) -> list[Cause]:
        """The rules for requests, the expressions, their messages."""
        return _PolicyCheck(obj).causes()

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Warnings and conditions are whole."""
        found, status = super().validate_status_update(new, old), new.get("status") or {}
        for at, warning in enumerate(meta.get(status, "typeChecking.expressionWarnings", [])):
            where = f"status.typeChecking.expressionWarnings[{at}]"
            found += needed(warning, where, "fieldRef", "warning")
        return [*found, *check_conditions(status.get("conditions") or [], "status.conditions")]


class AdmissionPolicyBindingStrategy(Strategy):
    """ValidatingAdmissionPolicyBindings."""

    allow_unconditional_update = False
    known_finalizers = False
    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Match everything equivalent."""
        if (resources := meta.get(obj, "spec.matchResources")) is not None:
            default_match(resources)

    def check(self, obj: Obj) -> list[Cause]:
        """A policy, its parameters, what to do."""
        spec = obj.get("spec") or {}
        policy = spec.get("policyName")
        if not policy:
            found = [causes.required("spec.policyName")]
        else:
            found = [causes.invalid("spec.policyName", policy, told) for told in names.dns_subdomain(policy)]
        found += _check_param_ref(spec.get("paramRef"), "spec.paramRef")
        found += rules.check_match_resources(spec.get("matchResources"), "spec.matchResources")
        return found + _check_actions(spec.get("validationActions") or [], "spec.validationActions")


def default_match(resources: Obj) -> None:
    """Match everything equivalent, everywhere."""
    fill(resources, matchPolicy="Equivalent")
    resources.setdefault("namespaceSelector", {})
    resources.setdefault("objectSelector", {})
    for field in ("resourceRules", "excludeResourceRules"):
        for rule in resources.get(field) or ():
            fill(rule, scope="*")


class MutatingPolicyStrategy(Strategy):
    """MutatingAdmissionPolicies."""

    allow_unconditional_update = False
    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Fail closed, match everything equivalent."""
        spec = obj.setdefault("spec", {})
        fill(spec, failurePolicy="Fail")
        if (constraints := spec.get("matchConstraints")) is not None:
            default_match(constraints)

    def check(self, obj: Obj) -> list[Cause]:
        """The rules for requests, the expressions, when to apply them again."""
        return _MutatingPolicyCheck(obj).causes()


class MutatingPolicyBindingStrategy(Strategy):
    """MutatingAdmissionPolicyBindings."""

    allow_unconditional_update = False
    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Match everything equivalent; refuse where parameters are missing."""
        if (resources := meta.get(obj, "spec.matchResources")) is not None:
            default_match(resources)
        if (ref := meta.get(obj, "spec.paramRef")) is not None:
            fill(ref, parameterNotFoundAction="Deny")

    def check(self, obj: Obj) -> list[Cause]:
        """A policy, its parameters, requests that can be changed."""
        spec = obj.get("spec") or {}
        policy = spec.get("policyName")
        if not policy:
            found = [causes.required("spec.policyName")]
        else:
            found = [causes.invalid("spec.policyName", policy, told) for told in names.dns_subdomain(policy)]
        found += _check_param_ref(spec.get("paramRef"), "spec.paramRef")
        found += rules.check_match_resources(spec.get("matchResources"), "spec.matchResources")
        return found + _check_operations(spec.get("matchResources") or {}, "spec.matchResources")


def _check_operations(resources: Obj, where: str) -> list[Cause]:
    """Only what is created or updated can be changed."""
    return [
        causes.not_supported(f"{where}.resourceRules.operations", operation, MUTATED)
        for rule in resources.get("resourceRules") or ()
        for operation in rule.get("operations") or ()
        if operation not in MUTATED
    ]


class _PolicyCheck:
    """The causes for one policy; its expressions know the variables that come before them."""

    def __init__(self, policy: Obj) -> None:
        from kdist.apiserver.admission.policies.compilation import Scope  # stands on this package

        self._name = meta.name(policy) if "metadata" in policy else ""
        self._spec = policy.get("spec") or {}
        self._params = self._spec.get("paramKind") is not None
        self._scope = Scope(params=self._params, variables=bool(self._spec.get("variables")))

    def causes(self) -> list[Cause]:
        spec, where = self._spec, "spec"
        found = rules.check_enum(spec, "failurePolicy", where, rules.FAILURE_POLICIES, required=True)
        if self._params:
            found += _check_param_kind(spec["paramKind"], "spec.paramKind")
        found += self._constraints()
        found += rules.check_match_conditions(
            spec.get("matchConditions") or [], "spec.matchConditions", params=self._params
        )
        for at, variable in enumerate(spec.get("variables") or ()):
            found += self._variable(variable, f"spec.variables[{at}]")
        if not spec.get("validations") and not spec.get("auditAnnotations"):
            told = "validations or auditAnnotations must contain at least one item"
            return [
                *found,
                causes.required("spec.validations", told),
                causes.required("spec.auditAnnotations", told),
            ]
        for at, validation in enumerate(spec.get("validations") or ()):
            found += self._validation(validation, f"spec.validations[{at}]")
        return found + self._annotations(spec.get("auditAnnotations") or [], "spec.auditAnnotations")

    def _constraints(self) -> list[Cause]:
        constraints, where = self._spec.get("matchConstraints"), "spec.matchConstraints"
        if constraints is None:
            return [causes.required(where)]
        found = rules.check_match_resources(constraints, where)
        if not constraints.get("resourceRules"):
            found.append(causes.required(f"{where}.resourceRules"))
        return found

    def _variable(self, variable: Obj, where: str) -> list[Cause]:
        name, expression = variable.get("name") or "", variable.get("expression") or ""
        found = _check_identifier(name, f"{where}.name")
        if not expression.strip():
            return [*found, causes.required(f"{where}.expression", "expression is not specified")]
        made = self._scope.declare(name, expression) if not found else None
        if made is not None and isinstance(made.program, Exception):
            found.append(causes.invalid(f"{where}.expression", expression, str(made.program)))
        return found

    def _validation(self, validation: Obj, where: str) -> list[Cause]:
        expression = validation.get("expression") or ""
        if not expression.strip():
            found = [causes.required(f"{where}.expression", "expression is not specified")]
        else:
            compile = self._scope.environment().compile
            found = rules.check_expression(compile, expression, f"{where}.expression", "bool")
        told = validation.get("messageExpression") or ""
        if told and not told.strip():
            found.append(causes.invalid(f"{where}.messageExpression", told, "must be non-empty if specified"))
        elif told:
            compile = self._scope.environment(authorizer=False).compile
            found += rules.check_expression(compile, told, f"{where}.messageExpression", "string")
        message = validation.get("message") or ""
        if message and not message.strip():
            found.append(
                causes.invalid(f"{where}.message", message, "message must be non-empty if specified")
            )
        elif any(char in message.strip() for char in "\r\n"):
            found.append(causes.invalid(f"{where}.message", message, "message must not contain line breaks"))
        return found + rules.check_enum(validation, "reason", where, REASONS)

    def _annotations(self, annotations: list[Obj], where: str) -> list[Cause]:
        found: list[Cause] = []
        if len(annotations) > ANNOTATIONS_LIMIT:
            told = f"must not have more than {ANNOTATIONS_LIMIT} auditAnnotations"
            found.append(causes.invalid(where, annotations, told))
        seen: set[str] = set()
        for at, annotation in enumerate(annotations):
            found += self._annotation(annotation, f"{where}[{at}]")
            key = annotation.get("key") or ""
            if key in seen:
                found.append(causes.duplicate(f"{where}[{at}].key", key))
            seen.add(key)
        return found

    def _annotation(self, annotation: Obj, where: str) -> list[Cause]:
        key = annotation.get("key") or ""
        if self._name:
            qualified = f"{self._name}/{key}"
            found = [
                causes.invalid(f"{where}.key", qualified, told) for told in names.qualified_name(qualified)
            ]
        else:
            found = [causes.invalid(f"{where}.key", key, "requires metadata.name be non-empty")]
        expression = (annotation.get("valueExpression") or "").strip()
        place = f"{where}.valueExpression"
        if not expression:
            found.append(causes.required(place, "valueExpression is not specified"))
        elif len(expression.encode()) > EXPRESSION_LIMIT:
            found.append(causes.required(place, f"must not exceed {EXPRESSION_LIMIT} bytes in length"))
        else:
            compile = self._scope.environment().compile
            found += rules.check_expression(compile, expression, place, "string", "null_type")
        return found


class _MutatingPolicyCheck(_PolicyCheck):
    """The causes for one policy that mutates."""

    def causes(self) -> list[Cause]:
        spec, where = self._spec, "spec"
        found = rules.check_enum(spec, "failurePolicy", where, rules.FAILURE_POLICIES, required=True)
        if self._params:
            found += _check_param_kind(spec["paramKind"], "spec.paramKind")
        found += self._constraints()
        found += _check_operations(spec.get("matchConstraints") or {}, "spec.matchConstraints")
        found += rules.check_match_conditions(
            spec.get("matchConditions") or [], "spec.matchConditions", params=self._params
        )
        for at, variable in enumerate(spec.get("variables") or ()):
            found += self._variable(variable, f"spec.variables[{at}]")
        if not spec.get("mutations"):
            found.append(causes.required("spec.mutations", "mutations must contain at least one item"))
        for at, mutation in enumerate(spec.get("mutations") or ()):
            found += self._mutation(mutation, f"spec.mutations[{at}]")
        return found + rules.check_enum(spec, "reinvocationPolicy", where, REINVOCATIONS, required=True)

    def _mutation(self, mutation: Obj, where: str) -> list[Cause]:
        from kdist.apiserver.admission.policies import mutations  # stands on this package

        kind = mutation.get("patchType") or ""
        if not kind:
            return [causes.required(f"{where}.patchType")]
        if kind not in PATCHES:
            return [causes.not_supported(f"{where}.patchType", kind, PATCHES)]
        own = mutations.FIELDS[kind]
        other = next(field for field in mutations.FIELDS.values() if field != own)
        found: list[Cause] = []
        if mutation.get(own) is None:
            found.append(causes.required(f"{where}.{own}", f"must be specified when patchType is {kind}"))
        else:
            found += self._patch(kind, mutation[own].get("expression") or "", f"{where}.{own}.expression")
        if mutation.get(other) is not None:
            told = f"must not be specified when patchType is {kind}"
            found.append(causes.invalid(f"{where}.{other}", f"{{{other}}}", told))
        return found

    def _patch(self, kind: str, expression: str, where: str) -> list[Cause]:
        from kdist.apiserver.admission.policies import mutations

        expression = expression.strip()
        if not expression:
            return [causes.required(where)]
        program = mutations.compile_patch(self._scope, kind, expression).program
        return [causes.invalid(where, expression, str(program))] if isinstance(program, Exception) else []


def _check_identifier(name: str, where: str) -> list[Cause]:
    from kdist.apiserver.cel.escaping import RESERVED

    if not name.strip():
        return [causes.required(where, "name is not specified")]
    if not _IDENTIFIER.fullmatch(name) or name in RESERVED:
        return [causes.invalid(where, name, "name is not a valid CEL identifier")]
    return []


def _check_param_kind(kind: Obj, where: str) -> list[Cause]:
    version_text, name = kind.get("apiVersion") or "", kind.get("kind") or ""
    found: list[Cause] = []
    if not version_text:
        found.append(causes.required(f"{where}.apiVersion"))
    elif version_text.count("/") > 1:
        told = f"unexpected GroupVersion string: {version_text}"
        found.append(causes.invalid(f"{where}.apiVersion", version_text, told))
    else:
        group, _, version = version_text.rpartition("/")
        if group and (told := ",".join(names.dns_subdomain(group))):
            found.append(causes.invalid(f"{where}.apiVersion", group, told))
        if not version:
            found.append(causes.invalid(f"{where}.apiVersion", version_text, "version must be specified"))
        elif told := ",".join(names.dns_1035_label(version)):
            found.append(causes.invalid(f"{where}.apiVersion", version, told))
    if not name:
        found.append(causes.required(f"{where}.kind"))
    elif told := ",".join(names.dns_1035_label(name.lower())):
        told = f"may have mixed case, but should otherwise match: {told}"
        found.append(causes.invalid(f"{where}.kind", name, told))
    return found


def _check_param_ref(ref: Obj | None, where: str) -> list[Cause]:
    if ref is None:
        return []
    name, selector = ref.get("name"), ref.get("selector")
    found: list[Cause] = []
    if name:
        found += [causes.invalid(f"{where}.name", name, told) for told in names.path_segment(name)]
    if selector is not None:
        found += check_label_selector(selector, f"{where}.selector")
    if name and selector is not None:
        told = "name and selector are mutually exclusive"
        found += [causes.forbidden(f"{where}.{field}", told) for field in ("name", "selector")]
    if not name and selector is None:
        found.append(causes.required(where, "one of name or selector must be specified"))
    if ref.get("parameterNotFoundAction") == "":
        return [*found, causes.required(f"{where}.parameterNotFoundAction")]
    return found + rules.check_enum(ref, "parameterNotFoundAction", where, ("Deny", "Allow"), required=True)


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
