"""How the claims of a token become a user: the ``claimMappings`` of an AuthenticationConfiguration."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kdist.apiserver.authn.oidc.expressions import BadExpression, value_of_claims
from kdist.apiserver.authn.oidc.issuer import ClaimMapping, Expression
from kdist.apiserver.configfile import Faults

_KEY = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+/[^/\s]+(/[^/\s]+)*")
_RESERVED = ("k8s.io", "kubernetes.io")


def prefixed(faults: Faults, where: str, value: Any, *, required: bool) -> ClaimMapping:
    """The user name or the groups of a claim, or what an expression makes of claims."""
    body = faults.mapping(where, value, ("claim", "prefix", "expression"))
    expression = faults.text(f"{where}.expression", body.get("expression"))
    if expression:
        if body.get("claim"):
            faults.invalid(where, "", "claim and expression can't both be set")
        if body.get("prefix") is not None:
            faults.invalid(
                f"{where}.prefix", str(body["prefix"]), "prefix can't be set when expression is set"
            )
        return ClaimMapping(expression=_value(faults, f"{where}.expression", expression))
    claim, prefix = faults.text(f"{where}.claim", body.get("claim")), body.get("prefix")
    if not claim:
        if required:
            faults.required(where, "claim or expression is required")
        if prefix:
            faults.invalid(
                f"{where}.prefix", str(prefix), "non-empty prefix isn't allowed when claim is not set"
            )
    elif prefix is None:
        told = "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
        faults.required(f"{where}.prefix", told)
    return ClaimMapping(claim, faults.text(f"{where}.prefix", prefix))


def claim(faults: Faults, where: str, value: Any) -> ClaimMapping:
    """The value of a claim, or of an expression."""
    body = faults.mapping(where, value, ("claim", "expression"))
    claim = faults.text(f"{where}.claim", body.get("claim"))
    expression = faults.text(f"{where}.expression", body.get("expression"))
    if claim and expression:
        faults.invalid(where, "", "claim and expression can't both be set")
    if expression:
        return ClaimMapping(expression=_value(faults, f"{where}.expression", expression))
    return ClaimMapping(claim)


def _value(faults: Faults, where: str, expression: str) -> Expression | None:
    return compiled(faults, where, expression, value_of_claims)


def compiled(
    faults: Faults, where: str, expression: str, compile: Callable[[str], Expression]
) -> Expression | None:
    """The expression, or none and a fault."""
    try:
        return compile(expression)
    except BadExpression as error:
        faults.invalid(where, expression, str(error))
        return None


def extra(faults: Faults, where: str, value: Any) -> dict[str, Expression]:
    """Further attributes of the user, by their keys."""
    extra: dict[str, Expression] = {}
    for at, item in enumerate(faults.sequence(where, value)):
        here = f"{where}[{at}]"
        mapping = faults.mapping(here, item, ("key", "valueExpression"))
        key = faults.text(f"{here}.key", mapping.get("key"))
        expression = faults.text(f"{here}.valueExpression", mapping.get("valueExpression"))
        _check_key(faults, f"{here}.key", key)
        if key in extra:
            faults.duplicate(f"{here}.key", key)
        if not expression:
            faults.required(f"{here}.valueExpression", "valueExpression is required")
            continue
        compiled = _value(faults, f"{here}.valueExpression", expression)
        if compiled is not None:
            extra[key] = compiled
    return extra


def _check_key(faults: Faults, where: str, key: str) -> None:
    domain = key.partition("/")[0]
    if not key:
        faults.required(where)
    elif key != key.lower():
        faults.invalid(where, key, "key must be lowercase")
    elif not _KEY.fullmatch(key):
        faults.invalid(where, key, 'must be a domain-prefixed path (such as "acme.io/foo")')
    elif any(domain == reserved or domain.endswith(f".{reserved}") for reserved in _RESERVED):
        told = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"
        faults.invalid(where, key, told)
