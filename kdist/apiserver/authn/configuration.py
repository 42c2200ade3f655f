"""Which issuers and anonymous requests are believed: the AuthenticationConfiguration file, or the OIDC flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kdist.apiserver.authn.oidc import declared
from kdist.apiserver.authn.oidc.flags import from_flags
from kdist.apiserver.authn.oidc.issuer import Issuer
from kdist.apiserver.configfile import ConfigurationError, Faults, read
from kdist.config.apiserver import ApiServerSettings

VERSIONS = ("v1beta1", "v1alpha1")
KIND = "AuthenticationConfiguration"
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


# ----- the file


def parse(document: Obj, own_issuers: tuple[str, ...] = ()) -> Configured:
    """What a document says; ``own_issuers`` are the service accounts', which no other may claim to be."""
    faults = Faults()
    faults.mapping("", document, ("apiVersion", "kind", "jwt", "anonymous"))
    issuers = [
        declared.issuer(faults, f"jwt[{at}]", item, own_issuers)
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
