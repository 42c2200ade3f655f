"""An issuer as an AuthenticationConfiguration declares it: where it is, and which users its tokens make."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from kdist.apiserver.authn.oidc import mappings, rules
from kdist.apiserver.authn.oidc.expressions import trusts_unverified_email
from kdist.apiserver.authn.oidc.issuer import Issuer
from kdist.apiserver.configfile import Faults

Obj = dict[str, Any]
_ISSUER = ("url", "discoveryURL", "certificateAuthority", "audiences", "audienceMatchPolicy")
_CLAIMS = ("username", "groups", "uid", "extra")
_JWT = ("issuer", "claimValidationRules", "claimMappings", "userValidationRules")


def issuer(faults: Faults, where: str, value: Any, own: tuple[str, ...]) -> Issuer:
    """The issuer that an item of ``jwt`` declares; ``own`` are those that no other may claim to be."""
    body = faults.mapping(where, value, _JWT)
    source = faults.mapping(f"{where}.issuer", body.get("issuer"), _ISSUER)
    url, discovery, ca = _source(faults, f"{where}.issuer", source, own)
    at = f"{where}.claimMappings"
    claims = faults.mapping(at, body.get("claimMappings"), _CLAIMS)
    required, claim_rules = rules.claim_rules(
        faults, f"{where}.claimValidationRules", body.get("claimValidationRules")
    )
    _check_email(faults, f"{at}.username.expression", body, claims)
    return Issuer(
        url=url,
        audiences=_audiences(faults, f"{where}.issuer", source),
        username=mappings.prefixed(faults, f"{at}.username", claims.get("username"), required=True),
        groups=mappings.prefixed(faults, f"{at}.groups", claims.get("groups"), required=False),
        uid=mappings.claim(faults, f"{at}.uid", claims.get("uid")),
        extra=mappings.extra(faults, f"{at}.extra", claims.get("extra")),
        required=required,
        claim_rules=claim_rules,
        user_rules=rules.user_rules(faults, f"{where}.userValidationRules", body.get("userValidationRules")),
        discovery_url=discovery,
        ca=ca,
    )


def _source(faults: Faults, where: str, source: Obj, own: tuple[str, ...]) -> tuple[str, str, bytes]:
    """URL, discovery URL and authorities of an issuer."""
    url = faults.text(f"{where}.url", source.get("url"))
    discovery = faults.text(f"{where}.discoveryURL", source.get("discoveryURL"))
    check_url(faults, f"{where}.url", url)
    if url in own:
        faults.invalid(f"{where}.url", url, f"URL must not overlap with disallowed issuers: {list(own)}")
    if discovery:
        check_url(faults, f"{where}.discoveryURL", discovery)
        if discovery.rstrip("/") == url.rstrip("/"):
            faults.invalid(f"{where}.discoveryURL", discovery, "discoveryURL must be different from URL")
    ca = faults.text(f"{where}.certificateAuthority", source.get("certificateAuthority")).encode()
    check_ca(faults, f"{where}.certificateAuthority", ca)
    return url, discovery, ca


def check_url(faults: Faults, where: str, url: str) -> None:
    """A fault for each reason why a URL cannot be an issuer's."""
    if not url:
        faults.required(where, "URL is required")
        return
    parts = urlsplit(url)
    if parts.scheme != "https":
        faults.invalid(where, url, "URL scheme must be https")
    if parts.username or parts.password:
        faults.invalid(where, url, "URL must not contain a username or password")
    if parts.query:
        faults.invalid(where, url, "URL must not contain a query")
    if parts.fragment:
        faults.invalid(where, url, "URL must not contain a fragment")


def check_ca(faults: Faults, where: str, pem: bytes) -> None:
    """A fault when the text is no bundle of certificates."""
    if not pem:
        return
    try:
        ssl.create_default_context(cadata=pem.decode())
    except (ssl.SSLError, ValueError) as error:
        faults.invalid(where, "<omitted>", str(error))


def _audiences(faults: Faults, where: str, issuer: Mapping[str, Any]) -> tuple[str, ...]:
    listed = [str(a) for a in faults.sequence(f"{where}.audiences", issuer.get("audiences"))]
    policy = issuer.get("audienceMatchPolicy") or ""
    if not listed:
        faults.required(f"{where}.audiences", f"at least one {where}.audiences is required")
    for at, audience in enumerate(listed):
        if not audience:
            faults.required(f"{where}.audiences[{at}]", "audience can't be empty")
        elif audience in listed[:at]:
            faults.duplicate(f"{where}.audiences[{at}]", audience)
    if len(listed) > 1 and policy != "MatchAny":
        told = "audienceMatchPolicy must be MatchAny for multiple audiences"
        faults.invalid(f"{where}.audienceMatchPolicy", policy, told)
    if len(listed) == 1 and policy not in ("", "MatchAny"):
        told = "audienceMatchPolicy must be empty or MatchAny for single audience"
        faults.invalid(f"{where}.audienceMatchPolicy", policy, told)
    return tuple(listed)


def _check_email(faults: Faults, where: str, body: Obj, mappings: Obj) -> None:
    """An address that the issuer has not verified could be anybody's."""
    username = (mappings.get("username") or {}).get("expression") or ""
    others = [str(m.get("valueExpression")) for m in mappings.get("extra") or () if isinstance(m, dict)]
    others += [
        str(r.get("expression")) for r in body.get("claimValidationRules") or () if isinstance(r, dict)
    ]
    if isinstance(username, str) and trusts_unverified_email(username, others):
        faults.invalid(
            where,
            username,
            "claims.email_verified must be used in claimMappings.username.expression or "
            "claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is "
            "used in claimMappings.username.expression",
        )
