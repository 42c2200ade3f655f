"""Which authorizers are asked, in order: the AuthorizationConfiguration file, or the flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdist.apiserver.authz.conditions import BadCondition, compile_condition
from kdist.apiserver.authz.webhook import Condition, WebhookSettings
from kdist.apiserver.configfile import ConfigurationError, Faults, read, seconds
from kdist.apiserver.validation import names
from kdist.config.apiserver import ApiServerSettings

KIND = "AuthorizationConfiguration"
VERSIONS = ("v1", "v1beta1", "v1alpha1")
TYPES = ("ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook")
LOCAL = ("AlwaysAllow", "AlwaysDeny", "Node", "RBAC")
_WEBHOOK = (
    "timeout",
    "authorizedTTL",
    "unauthorizedTTL",
    "subjectAccessReviewVersion",
    "matchConditionSubjectAccessReviewVersion",
    "failurePolicy",
    "connectionInfo",
    "matchConditions",
)
Obj = dict[str, Any]


@dataclass(frozen=True)
class ModeSettings:
    """One authorizer; a webhook comes with its kubeconfig (None: this server's own cluster)."""

    type: str
    webhook: WebhookSettings | None = None
    kubeconfig: Path | None = None


def configured(settings: ApiServerSettings) -> tuple[ModeSettings, ...]:
    """What file or flags say. Raises ConfigurationError."""
    path = settings.authorization_config
    if path is None:
        return from_flags(settings)
    if settings.authorization_webhook_config_file:
        raise ConfigurationError(
            "--authorization-config can not be specified when --authorization-webhook-* flags are defined"
        )
    document = read(path, KIND, VERSIONS)
    try:
        return parse(document)
    except ConfigurationError as error:
        raise ConfigurationError(f"authorization configuration file {path}: {error}") from error


def from_flags(settings: ApiServerSettings) -> tuple[ModeSettings, ...]:
    """The modes of ``--authorization-mode``. Raises ConfigurationError."""
    modes, path = settings.authorization_mode, settings.authorization_webhook_config_file
    if not modes:
        raise ConfigurationError("at least one authorization-mode must be passed")
    for mode in modes:
        if mode not in (*LOCAL, "Webhook"):
            raise ConfigurationError(f'authorization-mode "{mode}" is not a valid mode')
    if len(set(modes)) != len(modes):
        raise ConfigurationError(f"authorization-mode {list(modes)} has mode specified more than once")
    if ("Webhook" in modes) != (path is not None):
        raise ConfigurationError(
            "--authorization-webhook-config-file and mode Webhook of --authorization-mode go together"
        )
    if settings.authorization_webhook_version not in ("v1", "v1beta1"):
        raise ConfigurationError("--authorization-webhook-version: must be v1 or v1beta1")
    webhook = WebhookSettings(
        "default",
        settings.authorization_webhook_version,
        authorized_ttl=settings.authorization_webhook_cache_authorized_ttl,
        unauthorized_ttl=settings.authorization_webhook_cache_unauthorized_ttl,
    )
    return tuple(
        ModeSettings(mode, webhook, path) if mode == "Webhook" else ModeSettings(mode) for mode in modes
    )


def parse(document: Obj) -> tuple[ModeSettings, ...]:
    """What a document says. Raises ConfigurationError."""
    faults = Faults()
    faults.mapping("", document, ("apiVersion", "kind", "authorizers"))
    listed = faults.sequence("authorizers", document.get("authorizers"))
    if not listed:
        faults.required("authorizers", "at least one authorization mode must be defined")
    modes, seen_types, seen_names = [], set[str](), set[str]()
    for at, item in enumerate(listed):
        where = f"authorizers[{at}]"
        body = faults.mapping(where, item, ("type", "name", "webhook"))
        kind = faults.text(f"{where}.type", body.get("type"))
        name = faults.text(f"{where}.name", body.get("name"))
        _check_type(faults, f"{where}.type", kind, seen_types)
        _check_name(faults, f"{where}.name", name, seen_names)
        modes.append(_mode(faults, where, kind, name, body.get("webhook")))
    faults.raise_found()
    return tuple(modes)


def _check_type(faults: Faults, where: str, kind: str, seen: set[str]) -> None:
    if not kind:
        faults.required(where)
    elif faults.supported(where, kind, TYPES):
        if kind == "ABAC":
            faults.invalid(where, kind, "policy files are not supported; use RBAC")
        if kind in seen and kind != "Webhook":
            faults.duplicate(where, kind)
    seen.add(kind)


def _check_name(faults: Faults, where: str, name: str, seen: set[str]) -> None:
    if not name:
        faults.required(where)
    elif name in seen:
        faults.duplicate(where, name)
    elif told := names.dns_subdomain(name):
        faults.invalid(where, name, f"authorizer name is invalid: {told}")
    seen.add(name)


def _mode(faults: Faults, where: str, kind: str, name: str, webhook: Any) -> ModeSettings:
    if kind != "Webhook":
        if webhook is not None:
            faults.invalid(f"{where}.webhook", "non-null", "may only be specified when type=Webhook")
        return ModeSettings(kind)
    if webhook is None:
        faults.required(f"{where}.webhook", "required when type=Webhook")
        return ModeSettings(kind)
    where = f"{where}.webhook"
    body = faults.mapping(where, webhook, _WEBHOOK)
    timeout = _seconds(faults, f"{where}.timeout", body.get("timeout"))
    if timeout > 30:
        faults.invalid(f"{where}.timeout", body.get("timeout"), "must be > 0s and <= 30s")
    version = body.get("subjectAccessReviewVersion")
    if not version:
        faults.required(f"{where}.subjectAccessReviewVersion")
    else:
        faults.supported(f"{where}.subjectAccessReviewVersion", version, ("v1", "v1beta1"))
    policy = body.get("failurePolicy")
    if not policy:
        faults.required(f"{where}.failurePolicy")
    else:
        faults.supported(f"{where}.failurePolicy", policy, ("NoOpinion", "Deny"))
    settings = WebhookSettings(
        name,
        str(version),
        timeout,
        _seconds(faults, f"{where}.authorizedTTL", body.get("authorizedTTL", "5m")),
        _seconds(faults, f"{where}.unauthorizedTTL", body.get("unauthorizedTTL", "30s")),
        policy == "Deny",
        _conditions(faults, where, body),
    )
    return ModeSettings(kind, settings, _connection(faults, f"{where}.connectionInfo", body))


def _seconds(faults: Faults, where: str, value: Any) -> float:
    if value is None:
        faults.required(where)
        return 0.0
    try:
        found = seconds(str(value))
    except ValueError as error:
        faults.invalid(where, value, str(error))
        return 0.0
    if found <= 0:
        faults.invalid(where, value, "must be > 0s")
    return found


def _connection(faults: Faults, where: str, body: Obj) -> Path | None:
    info = faults.mapping(where, body.get("connectionInfo"), ("type", "kubeConfigFile"))
    kind, path = info.get("type"), info.get("kubeConfigFile")
    if not kind:
        faults.required(f"{where}.type")
    elif not faults.supported(f"{where}.type", kind, ("InClusterConfig", "KubeConfigFile")):
        return None
    elif kind == "InClusterConfig":
        if path is not None:
            faults.invalid(f"{where}.kubeConfigFile", path, "can only be set when type=KubeConfigFile")
    elif not path:
        faults.required(f"{where}.kubeConfigFile")
    elif not Path(path).is_absolute():
        faults.invalid(f"{where}.kubeConfigFile", path, "must be an absolute path")
    elif not Path(path).is_file():
        faults.invalid(f"{where}.kubeConfigFile", path, "must be a regular file")
    else:
        return Path(path)
    return None


def _conditions(faults: Faults, where: str, body: Obj) -> Sequence[Condition]:
    listed = faults.sequence(f"{where}.matchConditions", body.get("matchConditions"))
    version = body.get("matchConditionSubjectAccessReviewVersion")
    at = f"{where}.matchConditionSubjectAccessReviewVersion"
    if listed and not version:
        faults.required(at, "required if match conditions are specified")
    elif version:
        faults.supported(at, version, ("v1",))
    found: list[Condition] = []
    seen: set[str] = set()
    for number, item in enumerate(listed):
        here = f"{where}.matchConditions[{number}]"
        expression = faults.text(
            f"{here}.expression", faults.mapping(here, item, ("expression",)).get("expression")
        )
        if not expression:
            faults.required(f"{here}.expression")
            continue
        if expression in seen:
            faults.duplicate(f"{here}.expression", expression)
        seen.add(expression)
        try:
            found.append(compile_condition(expression))
        except BadCondition as error:
            faults.invalid(f"{here}.expression", expression, str(error))
    return tuple(found)
