"""Which issuers and anonymous requests are believed: the AuthenticationConfiguration file, or the OIDC flags."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kdist.apiserver.authn.oidc.expressions import (
    BadExpression,
    claims_hold,
    trusts_unverified_email,
    user_holds,
    value_of_claims,
)
from kdist.apiserver.authn.oidc.issuer import ALGORITHMS, ClaimMapping, Expression, Issuer, Rule
from kdist.apiserver.configfile import ConfigurationError, Faults, read
from kdist.config.apiserver import ApiServerSettings

VERSIONS = ("v1beta1", "v1alpha1")
KIND = "AuthenticationConfiguration"
_ISSUER = ("url", "discoveryURL", "certificateAuthority", "audiences", "audienceMatchPolicy")
_JWT = ("issuer", "claimValidationRules", "claimMappings", "userValidationRules")
_KEY = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+/[^/\s]+(/[^/\s]+)*")
_RESERVED = ("k8s.io", "kubernetes.io")
Obj = dict[str, Any]


@dataclass(frozen=True)
class Configured:
    """Issuers, and where requests may be anonymous: ``anonymous`` None leaves that to the flag."""

    issuers: tuple[Issuer, ...] = ()
    anonymous: bool | None = None
    anonymous_paths: tuple[str, ...] | None = None


def configured(settings: ApiServerSettings) -> Configured:
    """What file or flags say. Raises ConfigurationError."""
    path = settings.authentication_config
    if path is None:
        issuer = from_flags(settings)
        return Configured((issuer,) if issuer else ())
    if settings.oidc_issuer_url or settings.oidc_client_id:
        raise ConfigurationError("--authentication-config and the --oidc-* flags are mutually exclusive")
    document = read(path, KIND, VERSIONS)
    try:
        return parse(document, settings.service_account_issuer)
    except ConfigurationError as error:
        raise ConfigurationError(f"authentication configuration file {path}: {error}") from error


# ----- flags


def from_flags(settings: ApiServerSettings) -> Issuer | None:
    """The issuer of the ``--oidc-*`` flags, None without them. Raises ConfigurationError."""
    url = settings.oidc_issuer_url
    if not url and not settings.oidc_client_id:
        return None
    if not url or not settings.oidc_client_id:
        raise ConfigurationError("--oidc-issuer-url and --oidc-client-id must be specified together")
    faults = Faults()
    _check_url(faults, "--oidc-issuer-url", url)
    for algorithm in settings.oidc_signing_algs:
        faults.supported("--oidc-signing-algs", algorithm, ALGORITHMS)
    required = dict(_pair(faults, text) for text in settings.oidc_required_claim)
    ca = _ca_file(faults, settings.oidc_ca_file)
    faults.raise_found()
    return Issuer(
        url=url,
        audiences=(settings.oidc_client_id,),
        username=ClaimMapping(settings.oidc_username_claim, _username_prefix(settings)),
        groups=ClaimMapping(settings.oidc_groups_claim, settings.oidc_groups_prefix),
        required=required,
        ca=ca,
        algorithms=settings.oidc_signing_algs,
    )


def _username_prefix(settings: ApiServerSettings) -> str:
    """Names of an issuer are told apart from others by its URL, unless they are e-mail addresses."""
    prefix = settings.oidc_username_prefix
    if prefix == "-":
        return ""
    if not prefix and settings.oidc_username_claim != "email":
        return f"{settings.oidc_issuer_url}#"
    return prefix


def _pair(faults: Faults, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        faults.invalid("--oidc-required-claim", text, "must be of the form key=value")
    return key.strip(), value.strip()


def _ca_file(faults: Faults, path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--oidc-ca-file: {path}: {error.strerror}") from error
    _check_ca(faults, "--oidc-ca-file", pem)
    return pem


# ----- the file


def parse(document: Obj, own_issuers: tuple[str, ...] = ()) -> Configured:
    """What a document says; ``own_issuers`` are the service accounts', which no other may claim to be."""
    faults = Faults()
    faults.mapping("", document, ("apiVersion", "kind", "jwt", "anonymous"))
    issuers = [
        _issuer(faults, f"jwt[{at}]", item, own_issuers)
        for at, item in enumerate(faults.sequence("jwt", document.get("jwt")))
    ]
    for field in ("url", "discovery_url"):
        values = [getattr(issuer, field) for issuer in issuers]
        for at, value in enumerate(values):
            if value and value in values[:at]:
                shown = "url" if field == "url" else "discoveryURL"
                faults.duplicate(f"jwt[{at}].issuer.{shown}", value)
    enabled, paths = _anonymous(faults, document.get("anonymous"))
    faults.raise_found()
    return Configured(tuple(issuers), enabled, paths)


def _anonymous(faults: Faults, value: Any) -> tuple[bool | None, tuple[str, ...] | None]:
    if value is None:
        return None, None
    body = faults.mapping("anonymous", value, ("enabled", "conditions"))
    enabled = bool(body.get("enabled"))
    conditions = faults.sequence("anonymous.conditions", body.get("conditions"))
    if conditions and not enabled:
        faults.invalid(
            "anonymous.conditions", conditions, "enabled should be set to true when conditions are defined"
        )
    paths = []
    for at, condition in enumerate(conditions):
        where = f"anonymous.conditions[{at}]"
        path = faults.text(f"{where}.path", faults.mapping(where, condition, ("path",)).get("path"))
        if not path:
            faults.required(f"{where}.path")
        paths.append(path)
    return enabled, tuple(paths) if conditions else None


def _issuer(faults: Faults, where: str, value: Any, own: tuple[str, ...]) -> Issuer:
    body = faults.mapping(where, value, _JWT)
    issuer = faults.mapping(f"{where}.issuer", body.get("issuer"), _ISSUER)
    url = faults.text(f"{where}.issuer.url", issuer.get("url"))
    discovery = faults.text(f"{where}.issuer.discoveryURL", issuer.get("discoveryURL"))
    _check_url(faults, f"{where}.issuer.url", url)
    if url in own:
        faults.invalid(
            f"{where}.issuer.url", url, f"URL must not overlap with disallowed issuers: {list(own)}"
        )
    if discovery:
        _check_url(faults, f"{where}.issuer.discoveryURL", discovery)
        if discovery.rstrip("/") == url.rstrip("/"):
            faults.invalid(
                f"{where}.issuer.discoveryURL", discovery, "discoveryURL must be different from URL"
            )
    ca = faults.text(f"{where}.issuer.certificateAuthority", issuer.get("certificateAuthority")).encode()
    _check_ca(faults, f"{where}.issuer.certificateAuthority", ca)
    mappings = faults.mapping(
        f"{where}.claimMappings", body.get("claimMappings"), ("username", "groups", "uid", "extra")
    )
    at = f"{where}.claimMappings"
    username = _prefixed(faults, f"{at}.username", mappings.get("username"), required=True)
    groups = _prefixed(faults, f"{at}.groups", mappings.get("groups"), required=False)
    uid = _claim(faults, f"{at}.uid", mappings.get("uid"))
    extra = _extra(faults, f"{at}.extra", mappings.get("extra"))
    required, rules = _claim_rules(faults, f"{where}.claimValidationRules", body.get("claimValidationRules"))
    user_rules = _user_rules(faults, f"{where}.userValidationRules", body.get("userValidationRules"))
    _check_email(faults, f"{at}.username.expression", body, mappings)
    return Issuer(
        url=url,
        audiences=_audiences(faults, f"{where}.issuer", issuer),
        username=username,
        groups=groups,
        uid=uid,
        extra=extra,
        required=required,
        claim_rules=rules,
        user_rules=user_rules,
        discovery_url=discovery,
        ca=ca,
    )


def _check_url(faults: Faults, where: str, url: str) -> None:
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


def _check_ca(faults: Faults, where: str, pem: bytes) -> None:
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


def _prefixed(faults: Faults, where: str, value: Any, *, required: bool) -> ClaimMapping:
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


def _claim(faults: Faults, where: str, value: Any) -> ClaimMapping:
    body = faults.mapping(where, value, ("claim", "expression"))
    claim = faults.text(f"{where}.claim", body.get("claim"))
    expression = faults.text(f"{where}.expression", body.get("expression"))
    if claim and expression:
        faults.invalid(where, "", "claim and expression can't both be set")
    if expression:
        return ClaimMapping(expression=_value(faults, f"{where}.expression", expression))
    return ClaimMapping(claim)


def _value(faults: Faults, where: str, expression: str) -> Expression | None:
    return _compiled(faults, where, expression, value_of_claims)


def _compiled(
    faults: Faults, where: str, expression: str, compile: Callable[[str], Expression]
) -> Expression | None:
    try:
        return compile(expression)
    except BadExpression as error:
        faults.invalid(where, expression, str(error))
        return None


def _extra(faults: Faults, where: str, value: Any) -> dict[str, Expression]:
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


def _claim_rules(faults: Faults, where: str, value: Any) -> tuple[dict[str, str], tuple[Rule, ...]]:
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


def _user_rules(faults: Faults, where: str, value: Any) -> tuple[Rule, ...]:
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
    holds = _compiled(faults, f"{where}.expression", expression, compile)
    message = faults.text(f"{where}.message", rule.get("message"))
    told = f"validation expression '{expression}' failed" + (f": {message}" if message else "")
    rules[expression] = Rule(holds, told) if holds is not None else None


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
