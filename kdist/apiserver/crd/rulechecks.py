"""Judge the rules of a definition: they compile, they can be told, and they cannot cost too much."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.cel import estimate, types
from kdist.apiserver.cel.types import MAX_REQUEST_BYTES, DeclType
from kdist.apiserver.crd import fieldpaths
from kdist.apiserver.crd.rules import VALIDATIONS, Rule, compile_rules
from kdist.apiserver.crd.shaping import EMBEDDED
from kdist.apiserver.validation import causes

RULE_LIMIT, SCHEMA_LIMIT = 10_000_000, 100_000_000
MOST = 2**64 - 1
EXPENSIVE = 4  # rules that are named when all together cost too much
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_BREAKS = re.compile(r"[\n\r]")


def check_words(schema: Any, path: str) -> Iterator[Cause]:
    """What is wrong with the rules' texts, at every place of a schema."""
    if not isinstance(schema, dict):
        return
    for at, spec in enumerate(schema.get(VALIDATIONS) or ()):
        yield from _words(spec, schema, f"{path}.{VALIDATIONS}[{at}]")
    for where, child in _children(schema, path):
        yield from check_words(child, where)


def _children(schema: Obj, path: str) -> Iterator[tuple[str, Obj]]:
    for name, child in (schema.get("properties") or {}).items():
        yield f"{path}.properties[{name}]", child
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield f"{path}.{word}", schema[word]


def _words(spec: Obj, schema: Obj, path: str) -> Iterator[Cause]:
    rule, message = spec.get("rule") or "", spec.get("message") or ""
    if not rule.strip():
        yield causes.required(f"{path}.rule", "rule is not specified")
    elif message and not message.strip():
        yield causes.invalid(f"{path}.message", message, "message must be non-empty if specified")
    elif _BREAKS.search(message.strip()):
        yield causes.invalid(f"{path}.message", message, "message must not contain line breaks")
    elif _BREAKS.search(rule.strip()) and not message.strip():
        told = "message must be specified if rule contains line breaks"
        yield causes.required(f"{path}.message", told)
    expression, place = spec.get("messageExpression") or "", spec.get("fieldPath") or ""
    if expression and not expression.strip():
        told = "messageExpression must be non-empty if specified"
        yield causes.required(f"{path}.messageExpression", told)
    if spec.get("reason") is not None and spec["reason"] not in _REASONS:
        yield causes.not_supported(f"{path}.reason", spec["reason"], _REASONS)
    if place and not place.strip():
        yield causes.invalid(f"{path}.fieldPath", place, "fieldPath must be non-empty if specified")
    if _BREAKS.search(place):
        yield causes.invalid(f"{path}.fieldPath", place, "fieldPath must not contain line breaks")
    if place:
        try:
            fieldpaths.steps(place, schema)
        except ValueError:
            yield causes.invalid(f"{path}.fieldPath", place, "fieldPath must be a valid path")


# ----- compilation and cost


@dataclass(frozen=True, slots=True)
class _Place:
    """How often a schema's value can be there (None: unbounded), and what keeps its old value from being found."""

    cardinality: int | None = 1
    uncorrelated: str = ""


@dataclass(slots=True)
class _Total:
    cost: int = 0
    rules: list[tuple[int, str]] = field(default_factory=list)

    def add(self, cost: int, path: str) -> None:
        self.cost = min(MOST, self.cost + cost)
        if cost * 100 >= SCHEMA_LIMIT:  # what costs less than a hundredth is not to blame
            self.rules.append((cost, path))


def check(document: Obj, path: str) -> Iterator[Cause]:
    """Which rules do not compile or may cost too much; of a schema that is fine otherwise."""
    total = _Total()
    yield from _node(document, path, _Place(), total, root=True)
    if total.cost > SCHEMA_LIMIT:
        told = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        for _, where in sorted(total.rules, key=lambda rule: -rule[0])[:EXPENSIVE]:
            yield causes.forbidden(where, told)
        name = f"{VALIDATIONS} estimated rule cost total for entire OpenAPIv3 schema"
        yield causes.forbidden(path, _too_dear(name, total.cost, SCHEMA_LIMIT))


def _node(schema: Obj, path: str, place: _Place, total: _Total, *, root: bool = False) -> Iterator[Cause]:
    specs = schema.get(VALIDATIONS) or []
    declared = types.from_schema(schema, root=root or bool(schema.get(EMBEDDED))) if specs else None
    if specs and declared is None:
        yield Cause(f"{path}.{VALIDATIONS}", "Internal error: the type has no rules", "InternalError")
    if declared is not None:
        for at, rule in enumerate(compile_rules(schema, declared)):
            yield from _rule(rule, declared, f"{path}.{VALIDATIONS}[{at}]", place, total)
    below = _below(schema, place)
    for where, child in _children(schema, path):
        loose = where == f"{path}.items" and schema.get("x-kubernetes-list-type") != "map"
        yield from _node(child, where, _Place(below, path if loose else place.uncorrelated), total)


def _below(schema: Obj, place: _Place) -> int | None:
    """How often what is below can be there."""
    most: int | None = 1
    if schema.get("type") == "array":
        most = schema.get("maxItems")
    elif schema.get("type") == "object" and schema.get("additionalProperties"):
        most = schema.get("maxProperties")
    if place.cardinality is None or most is None:
        return None
    return min(MOST, place.cardinality * max(0, most))


def _rule(rule: Rule, declared: DeclType, path: str, place: _Place, total: _Total) -> Iterator[Cause]:
    if rule.program is not None:
        yield from _cost(rule, declared, path, place, total)
    if rule.error:
        yield causes.invalid(f"{path}.rule", rule.spec, rule.error)
    if rule.message_error:
        yield causes.invalid(f"{path}.messageExpression", rule.spec, rule.message_error)
    elif rule.message is not None:
        most = estimate.cost(rule.message, _variables(declared, rule)).most
        if most > RULE_LIMIT:
            told = _too_dear("estimated messageExpression cost", most, RULE_LIMIT)
            yield causes.forbidden(f"{path}.messageExpression", told)
        total.add(most, f"{path}.messageExpression")
    if rule.wants_old and place.uncorrelated:
        told = (
            f"oldSelf cannot be used on the uncorrelatable portion of the schema within {place.uncorrelated}"
        )
        yield causes.invalid(f"{path}.rule", rule.spec["rule"], told)
    if not rule.wants_old and rule.spec.get("optionalOldSelf") is not None:
        told = "may not be set if oldSelf is not used in rule"
        yield causes.invalid(f"{path}.optionalOldSelf", rule.spec["optionalOldSelf"], told)


def _variables(declared: DeclType, rule: Rule) -> dict[str, DeclType]:
    old = DeclType("optional", element=declared) if rule.optional_old else declared
    return {"self": declared, "oldSelf": old}


def _cost(rule: Rule, declared: DeclType, path: str, place: _Place, total: _Total) -> Iterator[Cause]:
    assert rule.program is not None
    often = place.cardinality
    if often is None:  # as often as the least value fits into a request
        often = MAX_REQUEST_BYTES // (declared.min_size + 1)
    cost = min(MOST, estimate.cost(rule.program, _variables(declared, rule)).most * often)
    if cost > RULE_LIMIT:
        yield causes.forbidden(f"{path}.rule", _too_dear("estimated rule cost", cost, RULE_LIMIT))
    total.add(cost, f"{path}.rule")


def _too_dear(name: str, cost: int, limit: int) -> str:
    factor = cost / limit
    told = f"{factor:.6f}x" if factor < 1.5 else f"{factor:.1f}x"
    if factor > 100:
        told = "more than 100x"
    return (
        f"{name} exceeds budget by factor of {told} (try simplifying the rule, or adding maxItems, maxProperties, "
        "and maxLength where arrays, maps, and strings are declared)"
    )
