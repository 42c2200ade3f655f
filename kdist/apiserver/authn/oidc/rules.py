"""What has to hold of a token's claims and of its user: the rules of an AuthenticationConfiguration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kdist.apiserver.authn.oidc.expressions import claims_hold, user_holds
from kdist.apiserver.authn.oidc.issuer import Expression, Rule
from kdist.apiserver.authn.oidc.mappings import compiled
from kdist.apiserver.configfile import Faults

Obj = dict[str, Any]


def claim_rules(faults: Faults, where: str, value: Any) -> tuple[dict[str, str], tuple[Rule, ...]]:
    """What claims have to be: values, and expressions that hold."""
    required: dict[str, str] = {}
    rules: dict[str, Rule | None] = {}
    for at, item in enumerate(faults.sequence(where, value)):
        here = f"{where}[{at}]"
        rule = faults.mapping(here, item, ("claim", "requiredValue", "expression", "message"))
        claim = faults.text(f"{here}.claim", rule.get("claim"))
        expression = faults.text(f"{here}.expression", rule.get("expression"))
        if claim and expression:
            faults.invalid(here, claim, "claim and expression can't both be set")
        elif expression:
            if rule.get("requiredValue"):
                told = "requiredValue can't be set when expression is set"
                faults.invalid(f"{here}.requiredValue", rule["requiredValue"], told)
            _add_rule(faults, here, rule, rules, claims_hold)
        elif not claim:
            faults.required(here, "claim or expression is required")
        elif rule.get("message"):
            faults.invalid(f"{here}.message", rule["message"], "message can't be set when claim is set")
        elif claim in required:
            faults.duplicate(f"{here}.claim", claim)
        else:
            required[claim] = faults.text(f"{here}.requiredValue", rule.get("requiredValue"))
    return required, tuple(rule for rule in rules.values() if rule)


def user_rules(faults: Faults, where: str, value: Any) -> tuple[Rule, ...]:
    """Expressions that hold of the user whom the claims make."""
    rules: dict[str, Rule | None] = {}
    for at, item in enumerate(faults.sequence(where, value)):
        here = f"{where}[{at}]"
        rule = faults.mapping(here, item, ("expression", "message"))
        if not faults.text(f"{here}.expression", rule.get("expression")):
            faults.required(f"{here}.expression", "expression is required")
        else:
            _add_rule(faults, here, rule, rules, user_holds)
    return tuple(rule for rule in rules.values() if rule)


def _add_rule(
    faults: Faults,
    where: str,
    rule: Obj,
    rules: dict[str, Rule | None],
    compile: Callable[[str], Expression],
) -> None:
    expression = rule["expression"]
    if expression in rules:
        faults.duplicate(f"{where}.expression", expression)
    holds = compiled(faults, f"{where}.expression", expression, compile)
    message = faults.text(f"{where}.message", rule.get("message"))
    told = f"validation expression '{expression}' failed" + (f": {message}" if message else "")
    rules[expression] = Rule(holds, told) if holds is not None else None
