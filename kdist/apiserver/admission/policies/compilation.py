"""Policies and bindings as they are evaluated: parsed and compiled once per change of the object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyPolicy:
    """What policies of all kinds have. ``param_kind`` is (apiVersion, kind); ``variables`` are in their order."""

    name: str
    matches: MatchResources
    ignore_failure: bool
    param_kind: tuple[str, str] | None
    conditions: Conditions
    variables: Mapping[str, Compiled]
    asks_authorizer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(AnyPolicy):
    """A ValidatingAdmissionPolicy."""

    validations: tuple[Validation, ...]
    annotations: tuple[tuple[str, Compiled], ...]


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
    frame = Frame(obj)
    validations = tuple(_validation(frame.scope, v) for v in spec.get("validations") or ())
    annotations = tuple(
        (a["key"], compiled(frame.scope.environment(), a["valueExpression"], "string", "null_type"))
        for a in spec.get("auditAnnotations") or ()
    )
    effects = [*(v.check for v in validations), *(expression for _, expression in annotations)]
    return Policy(validations=validations, annotations=annotations, **frame.fields(effects))


class Frame:
    """What is made of any policy before what it does: its scope, with its variables, and its conditions."""

    def __init__(self, policy: Obj) -> None:
        self._name, self._spec = meta.name(policy), policy["spec"]
        params, variables = self._spec.get("paramKind") is not None, self._spec.get("variables") or ()
        self.scope = Scope(params=params, variables=bool(variables))
        self._variables = {v["name"]: self.scope.declare(v["name"], v["expression"]) for v in variables}
        self._conditions = conditions.parse(self._spec.get("matchConditions") or (), params=params)

    def fields(self, effects: Iterable[Compiled]) -> dict[str, Any]:
        """The fields of an :class:`AnyPolicy` whose further expressions are ``effects``."""
        kind = self._spec.get("paramKind")
        return {
            "name": self._name,
            "matches": matching.parse(self._spec.get("matchConstraints")),
            "ignore_failure": self._spec.get("failurePolicy") == "Ignore",
            "param_kind": (kind["apiVersion"], kind["kind"]) if kind else None,
            "conditions": self._conditions,
            "variables": self._variables,
            "asks_authorizer": conditions.asks_authorizer(
                *self._conditions.conditions, *self._variables.values(), *effects
            ),
        }


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
