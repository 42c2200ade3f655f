"""Which issuers and anonymous requests are believed: the AuthenticationConfiguration file, or the OIDC flags."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kdist.apiserver.authn.oidc.issuer import ALGORITHMS, ClaimMapping, Issuer
from kdist.apiserver.configfile import ConfigurationError, Faults, read
from kdist.config.apiserver import ApiServerSettings

VERSIONS = ("v1beta1", "v1alpha1")
KIND = "AuthenticationConfiguration"
_ISSUER = ("url", "discoveryURL", "certificateAuthority", "audiences", "audienceMatchPolicy")
_JWT = ("issuer", "claimValidationRules", "claimMappings", "userValidationRules")
_NO_CEL = "CEL expressions are not supported; use a claim"
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
    if mappings.get("extra"):
        faults.invalid(f"{at}.extra", "<omitted>", _NO_CEL)
    if body.get("userValidationRules"):
        faults.invalid(f"{where}.userValidationRules", "<omitted>", _NO_CEL)
    return Issuer(
        url=url,
        audiences=_audiences(faults, f"{where}.issuer", issuer),
        username=username,
        groups=groups,
        uid=uid,
        required=_required(faults, f"{where}.claimValidationRules", body.get("claimValidationRules")),
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
    if body.get("expression"):
        faults.invalid(f"{where}.expression", body["expression"], _NO_CEL)
        return ClaimMapping()
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
    if body.get("expression"):
        faults.invalid(f"{where}.expression", body["expression"], _NO_CEL)
    return ClaimMapping(faults.text(f"{where}.claim", body.get("claim")))


def _required(faults: Faults, where: str, value: Any) -> dict[str, str]:
    required: dict[str, str] = {}
    for at, item in enumerate(faults.sequence(where, value)):
        here = f"{where}[{at}]"
        rule = faults.mapping(here, item, ("claim", "requiredValue", "expression", "message"))
        claim = faults.text(f"{here}.claim", rule.get("claim"))
        if rule.get("expression"):
            faults.invalid(f"{here}.expression", rule["expression"], _NO_CEL)
        elif not claim:
            faults.required(here, "claim or expression is required")
        elif rule.get("message"):
            faults.invalid(f"{here}.message", rule["message"], "message can't be set when claim is set")
        elif claim in required:
            faults.duplicate(f"{here}.claim", claim)
        else:
            required[claim] = faults.text(f"{here}.requiredValue", rule.get("requiredValue"))
    return required
