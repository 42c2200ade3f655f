"""Policies and bindings as they are evaluated: parsed and compiled once per change of the object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kdist.api import meta
from kdist.apiserver.admission.expressions import conditions, declared
from kdist.apiserver.admission.expressions.conditions import Compiled, Conditions, compiled
from kdist.apiserver.admission.policies import matching
from kdist.apiserver.admission.policies.matching import MatchResources
from kdist.apiserver.cel import CompileError, Environment
from kdist.apiserver.cel.types import DYN, DeclType, object_of
from kdist.apiserver.ports import Obj


@dataclass(frozen=True, slots=True)
class Validation:
    """A rule. ``message`` is what to say without a message expression, ``reason`` the Status' reason."""

    check: Compiled
    message: str
    message_expression: Compiled | None
    reason: str


@dataclass(frozen=True, slots=True)
class Policy:
    """A ValidatingAdmissionPolicy. ``param_kind`` is (apiVersion, kind); ``variables`` are in their order."""

    name: str
    matches: MatchResources
    ignore_failure: bool
    param_kind: tuple[str, str] | None
    conditions: Conditions
    variables: Mapping[str, Compiled]
    validations: tuple[Validation, ...]
    annotations: tuple[tuple[str, Compiled], ...]
    asks_authorizer: bool


class AnyPolicy(Protocol):
    """What policies of all kinds have."""

    @property
    def name(self) -> str:
        """Its object's name."""

    @property
    def matches(self) -> MatchResources:
        """The requests that it concerns."""

    @property
    def param_kind(self) -> tuple[str, str] | None:
        """apiVersion and kind of its parameters."""


@dataclass(frozen=True, slots=True)
class ParamRef:
    """Where a binding's parameters are: of a name, or all that a selector selects."""

    name: str
    namespace: str
    selector: Obj | None
    deny_missing: bool


@dataclass(frozen=True, slots=True)
class Binding:
    """A ValidatingAdmissionPolicyBinding."""

    name: str
    policy: str
    matches: MatchResources
    param_ref: ParamRef | None
    actions: tuple[str, ...]


class Scope:
    """What a policy's expressions may name. Variables are known to those that come after them."""

    def __init__(
        self, *, params: bool, variables: bool, subject: DeclType = DYN, param: DeclType = DYN
    ) -> None:
        self._variables: dict[str, DeclType] = {}
        self._composed = variables
        self._subject, self._param, self._params = subject, param, params
        self._environments: dict[bool, Environment] = {}

    def environment(self, *, authorizer: bool = True) -> Environment:
        """What to compile in: messages do not ask the authorizer."""
        if authorizer not in self._environments:
            self._environments[authorizer] = self._make(authorizer)
        return self._environments[authorizer]

    def _make(self, authorizer: bool) -> Environment:
        if not self._composed and self._subject is DYN and self._param is DYN:
            return declared.environment(params=self._params, authorizer=authorizer)
        base = declared.variables(
            params=self._params, authorizer=authorizer, subject=self._subject, param=self._param
        )
        return declared.composed(base, self._variables)

    def making(self, made: Sequence[DeclType]) -> Environment:
        """What to compile an expression in that makes patches, of these types."""
        base = declared.variables(params=self._params, authorizer=True)
        if self._composed:
            base["variables"] = object_of(dict(self._variables), "kubernetes.variables")
        return Environment(base, made=made)

    def declare(self, name: str, expression: str) -> Compiled:
        """Compile a variable; later expressions know it with its type."""
        made = compiled(self.environment(), expression)
        if isinstance(made.program, CompileError):
            self._variables[name] = DYN
        else:
            self._variables[name] = self.environment().declaration_of(made.program)
        self._environments = {}
        return made


def policy(obj: Obj) -> Policy:
    """From a ValidatingAdmissionPolicy."""
    spec = obj["spec"]
    param_kind = spec.get("paramKind")
    params, variables = param_kind is not None, spec.get("variables") or ()
    scope = Scope(params=params, variables=bool(variables))
    declared_variables = {v["name"]: scope.declare(v["name"], v["expression"]) for v in variables}
    found = conditions.parse(spec.get("matchConditions") or (), params=params)
    validations = tuple(_validation(scope, v) for v in spec.get("validations") or ())
    annotations = tuple(
        (a["key"], compiled(scope.environment(), a["valueExpression"], "string", "null_type"))
        for a in spec.get("auditAnnotations") or ()
    )
    return Policy(
        name=meta.name(obj),
        matches=matching.parse(spec.get("matchConstraints")),
        ignore_failure=spec.get("failurePolicy") == "Ignore",
        param_kind=(param_kind["apiVersion"], param_kind["kind"]) if param_kind else None,
        conditions=found,
        variables=declared_variables,
        validations=validations,
        annotations=annotations,
        asks_authorizer=conditions.asks_authorizer(
            *found.conditions,
            *declared_variables.values(),
            *(validation.check for validation in validations),
            *(expression for _, expression in annotations),
        ),
    )


def _validation(scope: Scope, validation: Obj) -> Validation:
    expression = validation["expression"]
    told = validation.get("messageExpression")
    message = (validation.get("message") or "").strip() or f"failed expression: {expression.strip()}"
    return Validation(
        check=compiled(scope.environment(), expression, "bool"),
        message=message,
        message_expression=compiled(scope.environment(authorizer=False), told, "string") if told else None,
        reason=validation.get("reason") or "Invalid",
    )


def binding(obj: Obj) -> Binding:
    """From a ValidatingAdmissionPolicyBinding."""
    spec = obj["spec"]
    ref = spec.get("paramRef")
    return Binding(
        name=meta.name(obj),
        policy=spec["policyName"],
        matches=matching.parse(spec.get("matchResources")),
        param_ref=_param_ref(ref) if ref else None,
        actions=tuple(spec.get("validationActions") or ()),
    )


def _param_ref(ref: Obj) -> ParamRef:
    return ParamRef(
        name=ref.get("name") or "",
        namespace=ref.get("namespace") or "",
        selector=ref.get("selector"),
        deny_missing=ref.get("parameterNotFoundAction") == "Deny",
    )
