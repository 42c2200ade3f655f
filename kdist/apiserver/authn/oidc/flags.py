"""The issuer of the ``--oidc-*`` flags."""

from __future__ import annotations

from pathlib import Path

from kdist.apiserver.authn.oidc.declared import check_ca, check_url
from kdist.apiserver.authn.oidc.issuer import ALGORITHMS, ClaimMapping, Issuer
from kdist.apiserver.configfile import ConfigurationError, Faults
from kdist.config.apiserver import ApiServerSettings


def from_flags(settings: ApiServerSettings) -> Issuer | None:
    """The issuer of the ``--oidc-*`` flags, None without them. Raises ConfigurationError."""
    url = settings.oidc_issuer_url
    if not url and not settings.oidc_client_id:
        return None
    if not url or not settings.oidc_client_id:
        raise ConfigurationError("--oidc-issuer-url and --oidc-client-id must be specified together")
    faults = Faults()
    check_url(faults, "--oidc-issuer-url", url)
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
    check_ca(faults, "--oidc-ca-file", pem)
    return pem
