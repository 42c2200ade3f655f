"""What is wrong with admission policies: the rules for requests, and expressions that have to compile."""

from __future__ import annotations

import re

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import admissionrules as rules
from kdist.apiserver.registry import policyparameters
from kdist.apiserver.validation import causes, names

REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
MUTATED = ("CREATE", "UPDATE")
PATCHES = ("ApplyConfiguration", "JSONPatch")
REINVOCATIONS = ("IfNeeded", "Never")
ANNOTATIONS_LIMIT = 20
EXPRESSION_LIMIT = 5 * 1024  # bytes of an audit annotation's expression
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")


class _PolicyCheck:
    """The causes for one policy; its expressions know the variables that come before them."""

    def __init__(self, policy: Obj) -> None:
        from kdist.apiserver.admission.policies.compilation import Scope  # stands on this package

        self._name = meta.name(policy) if "metadata" in policy else ""
        self._spec = policy.get("spec") or {}
        self._params = self._spec.get("paramKind") is not None
        self._scope = Scope(params=self._params, variables=bool(self._spec.get("variables")))

    def causes(self) -> list[Cause]:
        """Everything wrong with the policy's spec."""
        spec, where = self._spec, "spec"
        found = rules.check_enum(spec, "failurePolicy", where, rules.FAILURE_POLICIES, required=True)
        if self._params:
            found += policyparameters.check_kind(spec["paramKind"], "spec.paramKind")
        found += self._constraints()
        found += rules.check_match_conditions(
            spec.get("matchConditions") or [], "spec.matchConditions", params=self._params
        )
        for at, variable in enumerate(spec.get("variables") or ()):
            found += self._variable(variable, f"spec.variables[{at}]")
        return found + self._effects()

    def _effects(self) -> list[Cause]:
        """Of what the policy does."""
        raise NotImplementedError

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


class ValidatingPolicyCheck(_PolicyCheck):
    """The causes for one policy that validates."""

    def _effects(self) -> list[Cause]:
        spec = self._spec
        if not spec.get("validations") and not spec.get("auditAnnotations"):
            told = "validations or auditAnnotations must contain at least one item"
            return [causes.required(f"spec.{f}", told) for f in ("validations", "auditAnnotations")]
        found: list[Cause] = []
        for at, validation in enumerate(spec.get("validations") or ()):
            found += self._validation(validation, f"spec.validations[{at}]")
        return found + self._annotations(spec.get("auditAnnotations") or [], "spec.auditAnnotations")

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


class MutatingPolicyCheck(_PolicyCheck):
    """The causes for one policy that mutates."""

    def _constraints(self) -> list[Cause]:
        constraints = self._spec.get("matchConstraints") or {}
        return [*super()._constraints(), *check_operations(constraints, "spec.matchConstraints")]

    def _effects(self) -> list[Cause]:
        spec = self._spec
        found: list[Cause] = []
        if not spec.get("mutations"):
            found.append(causes.required("spec.mutations", "mutations must contain at least one item"))
        for at, mutation in enumerate(spec.get("mutations") or ()):
            found += self._mutation(mutation, f"spec.mutations[{at}]")
        return found + rules.check_enum(spec, "reinvocationPolicy", "spec", REINVOCATIONS, required=True)

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


def check_operations(resources: Obj, where: str) -> list[Cause]:
    """Only what is created or updated can be changed."""
    return [
        causes.not_supported(f"{where}.resourceRules.operations", operation, MUTATED)
        for rule in resources.get("resourceRules") or ()
        for operation in rule.get("operations") or ()
        if operation not in MUTATED
    ]


def _check_identifier(name: str, where: str) -> list[Cause]:
    from kdist.apiserver.cel.escaping import RESERVED

    if not name.strip():
        return [causes.required(where, "name is not specified")]
    if not _IDENTIFIER.fullmatch(name) or name in RESERVED:
        return [causes.invalid(where, name, "name is not a valid CEL identifier")]
    return []
