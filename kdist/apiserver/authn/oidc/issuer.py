"""What is configured about one issuer, and how the claims of its tokens make a user. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kdist.api.errors import Unauthorized
from kdist.apiserver.authn.user import User

Claims = Mapping[str, Any]
# A CEL expression, compiled: its value for the claims (or the user). Raises Unauthorized when it fails.
Expression = Callable[[Mapping[str, Any]], Any]
EMAIL, EMAIL_VERIFIED = "email", "email_verified"
ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"


@dataclass(frozen=True, slots=True)
class ClaimMapping:
    """Where a value comes from: a claim (with a prefix for the result), or an expression."""

    claim: str = ""
    prefix: str = ""
    expression: Expression | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition on the claims or on the user; ``message`` says what does not hold."""

    expression: Expression
    message: str


@dataclass(frozen=True)
class Issuer:
    """One issuer. ``discovery_url`` empty: below the issuer's own URL; ``ca`` empty: the system's authorities."""

    url: str
    audiences: tuple[str, ...]
    username: ClaimMapping
    groups: ClaimMapping = ClaimMapping()
    uid: ClaimMapping = ClaimMapping()
    extra: Mapping[str, Expression] = field(default_factory=dict)
    required: Mapping[str, str] = field(default_factory=dict)
    claim_rules: tuple[Rule, ...] = ()
    user_rules: tuple[Rule, ...] = ()
    discovery_url: str = ""
    ca: bytes = b""
    algorithms: tuple[str, ...] = ALGORITHMS

    def user(self, claims: Claims) -> User:
        """The user of verified claims. Raises Unauthorized."""
        user = User(
            self._username(claims),
            uid=_text(claims, self.uid, "uid"),
            groups=self._groups(claims),
            extra=self._extra(claims),
        )
        for claim, wanted in self.required.items():
            _check_required(claims, claim, wanted)
        for rule in self.claim_rules:
            _check(rule, claims)
        if self.user_rules:
            info = user.as_info()
            for rule in self.user_rules:
                _check(rule, info)
        return user

    def _username(self, claims: Claims) -> str:
        mapping = self.username
        if mapping.expression is not None:
            name = mapping.expression(claims)
            if not isinstance(name, str):
                raise Unauthorized("oidc: username claim expression must return a string")
            if not name:
                raise Unauthorized("oidc: empty username via CEL expression is not allowed")
            return name
        name = claims.get(mapping.claim)
        if not isinstance(name, str):
            raise Unauthorized(f'oidc: parse username claims "{mapping.claim}": claim not present')
        if mapping.claim == EMAIL and claims.get(EMAIL_VERIFIED, True) is not True:
            raise Unauthorized("oidc: email not verified")
        return mapping.prefix + name

    def _groups(self, claims: Claims) -> tuple[str, ...]:
        mapping = self.groups
        if mapping.expression is not None:
            return tuple(group for group in _texts(mapping.expression(claims)) if group)
        value = claims.get(mapping.claim) if mapping.claim else None
        if value is None:
            return ()
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(group, str) for group in found):
            raise Unauthorized(
                f'oidc: parse groups claim "{mapping.claim}": must be a string or a list of them'
            )
        return tuple(mapping.prefix + group for group in found)

    def _extra(self, claims: Claims) -> dict[str, tuple[str, ...]]:
        extra: dict[str, tuple[str, ...]] = {}
        if isinstance(claims.get("jti"), str) and claims["jti"]:
            extra[CREDENTIAL_ID] = (f"JTI={claims['jti']}",)
        for key, expression in self.extra.items():
            values = tuple(value for value in _texts(expression(claims)) if value)
            if values:
                extra[key] = values
        return extra


def _text(claims: Claims, mapping: ClaimMapping, what: str) -> str:
    if mapping.expression is not None:
        value = mapping.expression(claims)
        if not isinstance(value, str):
            raise Unauthorized(f"oidc: {what} claim expression must return a string")
        return value
    if not mapping.claim:
        return ""
    value = claims.get(mapping.claim)
    if not isinstance(value, str):
        raise Unauthorized(f'oidc: parse {what} claim "{mapping.claim}": claim not present')
    return value


def _texts(value: Any) -> list[str]:
    found = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not all(isinstance(text, str) for text in found):
        raise Unauthorized("oidc: expression must return a string or a list of strings")
    return list(found)


def _check_required(claims: Claims, claim: str, wanted: str) -> None:
    if claim not in claims:
        raise Unauthorized(f"oidc: required claim {claim} not present in ID token")
    if claims[claim] != wanted:
        raise Unauthorized(
            f"oidc: required claim {claim} value does not match. Got = {claims[claim]}, want = {wanted}"
        )


def _check(rule: Rule, facts: Mapping[str, Any]) -> None:
    if rule.expression(facts) is not True:
        raise Unauthorized(f"oidc: {rule.message}")
