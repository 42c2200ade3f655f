"""Validation rules in CEL (``x-kubernetes-validations``): compiled once per schema, evaluated on every write.

A tree of :class:`Rules` follows the schema down to where rules are; what has none below is not in it. Old values
are found again where upstream can tell which they are: fields, values of maps, items of lists with keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import orjson

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.cel import (
    PER_CALL_LIMIT,
    Budget,
    CelError,
    CompileError,
    CostExceeded,
    Environment,
    Program,
    types,
)
from kdist.apiserver.cel.escaping import escape
from kdist.apiserver.cel.types import DeclType
from kdist.apiserver.cel.values import NONE, Optional
from kdist.apiserver.crd import fieldpaths
from kdist.apiserver.crd.shaping import EMBEDDED
from kdist.apiserver.validation import causes

VALIDATIONS = "x-kubernetes-validations"
MESSAGE_LIMIT = 5 * 1024  # bytes of what a messageExpression says
_OUT_OF_BUDGET = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``error`` is why it does not compile; ``place`` is the field below that it blames."""

    spec: Obj
    program: Program | None = None
    message: Program | None = None
    error: str = ""
    message_error: str = ""
    place: str = ""
    wants_old: bool = False

    @property
    def optional_old(self) -> bool:
        """Whether it is evaluated without an old value, too."""
        return bool(self.spec.get("optionalOldSelf"))

    def told(self) -> str:
        """The rule as messages name it."""
        return str(self.spec.get("message") or self.spec.get("rule") or "").strip()

    def default_message(self) -> str:
        """What is said when it does not hold."""
        return self.told() if self.spec.get("message") else f"failed rule: {self.told()}"


@dataclass(slots=True)
class Rules:
    """The rules of one schema and those below it."""

    schema: Obj
    declared: DeclType
    rules: list[Rule] = field(default_factory=list)
    properties: dict[str, Rules] = field(default_factory=dict)
    values: Rules | None = None
    items: Rules | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to evaluate here or below."""
        return not (self.rules or self.properties or self.values or self.items)


def compile_tree(schema: Obj, *, root: bool = True) -> Rules | None:
    """The rules of a schema; None when it has none. Does not fail: a rule that does not compile says so."""
    if VALIDATIONS.encode() not in orjson.dumps(schema):
        return None
    declared = types.from_schema(schema, root=root)
    return _tree(schema, declared) if declared is not None else None


def _tree(schema: Obj, declared: DeclType) -> Rules | None:
    found = Rules(schema, declared, compile_rules(schema, declared))
    for name, child in (schema.get("properties") or {}).items():
        escaped = escape(name)
        kind = declared.fields.get(escaped) if escaped is not None else _type_of(child)
        below = _tree(child, kind) if kind is not None else None
        if below is not None:
            found.properties[name] = below
    if declared.element is not None:
        for word in ("items", "additionalProperties"):
            if isinstance(schema.get(word), dict):
                below = _tree(schema[word], declared.element)
                if word == "items":
                    found.items = below
                else:
                    found.values = below
    return None if found.is_empty else found


def _type_of(schema: Obj) -> DeclType | None:
    return types.from_schema(schema, root=bool(schema.get(EMBEDDED)))


# ----- compilation


def compile_rules(schema: Obj, declared: DeclType) -> list[Rule]:
    """The rules of one schema, those below it apart."""
    specs = schema.get(VALIDATIONS) or []
    environments: dict[bool, Environment] = {}
    compiled = []
    for spec in specs:
        optional = bool(spec.get("optionalOldSelf"))
        if optional not in environments:
            old = DeclType("optional", element=declared) if optional else declared
            environments[optional] = Environment({"self": declared, "oldSelf": old})
        compiled.append(_compile(spec, schema, environments[optional]))
    return compiled


def _compile(spec: Obj, schema: Obj, environment: Environment) -> Rule:
    if not (spec.get("rule") or "").strip():
        return Rule(spec)
    try:
        program = environment.compile(spec["rule"])
    except CompileError as error:
        return Rule(spec, error=str(error))
    if program.result_type != "bool":
        return Rule(spec, error="cel expression must evaluate to a bool")
    wants_old = program.uses("oldSelf")
    message, message_error = None, ""
    if spec.get("messageExpression"):
        try:
            message = environment.compile(spec["messageExpression"])
        except CompileError as error:
            message_error = f"messageExpression {error}"
        else:
            if message.result_type != "string":
                message_error = "messageExpression must evaluate to a string"
    place = fieldpaths.normalized(spec.get("fieldPath") or "", schema)
    return Rule(spec, program, message, message_error=message_error, place=place, wants_old=wants_old)


# ----- evaluation


class _Stop(Exception):
    """Nothing more is evaluated for this object."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """The nearest value around that has an old one: what did not change is not held against a write."""

    new: Any
    old: Any

    def unchanged(self) -> bool:
        return bool(self.new == self.old)


@dataclass(slots=True)
class Evaluation:
    """One object on its way through the rules."""

    budget: Budget = field(default_factory=Budget)
    found: list[Cause] = field(default_factory=list)


def check(rules: Rules, value: Any, old: Any = None, path: str = "") -> list[Cause]:
    """What the rules have against a value that replaces ``old`` (None: there is none)."""
    evaluation = Evaluation()
    pair = _Pair(value, old) if old is not None else None
    try:
        _node(evaluation, rules, value, old, path, pair)
    except _Stop:
        pass
    return evaluation.found


def _node(run: Evaluation, rules: Rules, value: Any, old: Any, path: str, pair: _Pair | None) -> None:
    if value is None:
        return
    if rules.rules:
        _evaluate(run, rules, value, old, path, pair)
    for part, below, before, where in _children(rules, value, old, path):
        known = before is not _UNKNOWN
        _node(run, below, part, before if known else None, where, _Pair(part, before) if known else pair)


_UNKNOWN = object()  # there is no telling which old value it was, or there was none


def _children(rules: Rules, value: Any, old: Any, path: str) -> Iterator[tuple[Any, Rules, Any, str]]:
    """(value, rules, old value, path) of everything below that has rules."""
    if isinstance(value, dict):
        before: Obj = old if isinstance(old, dict) else {}
        prefix = f"{path}." if path else ""
        for name, part in value.items():
            if name in rules.properties:
                yield part, rules.properties[name], before.get(name, _UNKNOWN), f"{prefix}{name}"
            elif rules.values is not None:
                yield part, rules.values, before.get(name, _UNKNOWN), f"{path}[{name}]"
    elif isinstance(value, list) and rules.items is not None:
        keys = rules.schema.get("x-kubernetes-list-map-keys") or ()
        by_key = {_identity(item, keys): item for item in old or ()} if keys else {}
        for at, part in enumerate(value):
            item_before = by_key.get(_identity(part, keys), _UNKNOWN) if keys else _UNKNOWN
            yield part, rules.items, item_before, f"{path}[{at}]"


def _identity(item: Any, keys: Any) -> bytes:
    return orjson.dumps([item.get(key) for key in keys] if isinstance(item, dict) else item)


def _evaluate(run: Evaluation, rules: Rules, value: Any, old: Any, path: str, pair: _Pair | None) -> None:
    kind = rules.schema.get("type") or ""
    try:
        bound = types.bind(value, rules.declared)
        bound_old = types.bind(old, rules.declared) if old is not None else None
    except CelError as error:
        run.found.append(_invalid(path, kind, str(error)))
        return
    for rule in rules.rules:
        if rule.error:
            run.found.append(_invalid(path, kind, f"rule compile error: {rule.error}"))
        if rule.program is None or (rule.wants_old and old is None and not rule.optional_old):
            continue
        old_self: Any = bound_old
        if rule.optional_old:
            old_self = Optional(bound_old, True) if old is not None else NONE
        variables = {"self": bound, "oldSelf": old_self}
        if not _holds(run, rule, variables, path, kind) and (
            rule.wants_old or pair is None or not pair.unchanged()
        ):
            run.found.append(_refusal(run, rule, variables, path, kind))


def _holds(run: Evaluation, rule: Rule, variables: Obj, path: str, kind: str) -> bool:
    """Whether a rule holds; an evaluation without a result is told at once. _Stop when the budget is used up."""
    assert rule.program is not None
    if run.budget.left <= 0:
        _stop(run, path, kind, _OUT_OF_BUDGET)
    exhausted = run.budget.left < PER_CALL_LIMIT
    try:
        return rule.program.evaluate(variables, run.budget) is True
    except CostExceeded as error:
        if exhausted:
            _stop(run, path, kind, _OUT_OF_BUDGET)
        told = f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule"
        _stop(run, path, kind, f"{told}: {rule.told()}")
    except CelError as error:
        told = f"{error} evaluating rule: {rule.told()}"
        if str(error).startswith("no such overload"):
            told = (
                f"'{error}': call arguments did not match a supported operator, function or macro signature"
            )
            told += f" for rule: {rule.told()}"
        run.found.append(_invalid(path, kind, told))
    return True


def _stop(run: Evaluation, path: str, kind: str, told: str) -> NoReturn:
    run.found.append(_invalid(path, kind, told))
    raise _Stop


def _refusal(run: Evaluation, rule: Rule, variables: Obj, path: str, kind: str) -> Cause:
    where = path + rule.place if path else rule.place.removeprefix(".")
    told = _message(run, rule, variables) or rule.default_message()
    match rule.spec.get("reason"):
        case "FieldValueForbidden":
            return causes.forbidden(where or "<nil>", told)
        case "FieldValueRequired":
            return causes.required(where or "<nil>", told)
        case "FieldValueDuplicate":
            return causes.duplicate(where or "<nil>", kind)
    return _invalid(where, kind, told)


def _message(run: Evaluation, rule: Rule, variables: Obj) -> str:
    """What the messageExpression says; empty when it says nothing that can be used."""
    if rule.message is None:
        return ""
    try:
        told = str(rule.message.evaluate(variables, run.budget)).strip()
    except CelError:  # the rule's own message does
        return ""
    return told if "\n" not in told and len(told.encode()) <= MESSAGE_LIMIT else ""


def _invalid(path: str, kind: str, told: str) -> Cause:
    return causes.invalid(path or "<nil>", kind, told)
