"""The EncryptionConfiguration file (apiserver.config.k8s.io/v1): read, checked whole, made into transformers.

Every fault is told with its field path, all of them at once; keys never appear in a message.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from kdist.storage.encryption.ciphers import AesCbc, AesGcm, Cipher, Secretbox
from kdist.storage.encryption.transformers import (
    EVERY,
    GroupResource,
    Identity,
    Keyed,
    Provider,
    Transformers,
)

API_VERSIONS = ("apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1")
KIND = "EncryptionConfiguration"
_AES_SIZES, _SECRETBOX_SIZES = (16, 24, 32), (32,)
# kind -> (how to make a cipher of a key, the sizes that keys may have)
_KEYED: Mapping[str, tuple[Callable[[bytes], Cipher], tuple[int, ...]]] = {
    "aesgcm": (AesGcm, _AES_SIZES),
    "aescbc": (AesCbc, _AES_SIZES),
    "secretbox": (Secretbox, _SECRETBOX_SIZES),
}
_PROVIDERS = (*_KEYED, "identity", "kms")
_UNIX = "unix://"
_PLUGIN_SECONDS = 3.0
_NOT_REST = ("apiserveripinfo", "serviceipallocations", "servicenodeportallocations")
Obj = dict[str, Any]


class ConfigurationError(ValueError):
    """The file cannot be used; the message has every reason."""


def load(path: Path) -> Transformers:
    """The transformers of a file. Raises ConfigurationError, which names the file."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"error reading encryption provider configuration file {path}: {error.strerror}"
        ) from error
    try:
        return parse(raw)
    except ConfigurationError as error:
        raise ConfigurationError(f"encryption provider configuration file {path}: {error}") from error


def parse(raw: bytes) -> Transformers:
    """The transformers of a file's content. Raises ConfigurationError."""
    try:
        document = yaml.safe_load(raw)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)  # the message itself could show a key
        where = f" at line {mark.line + 1}" if mark else ""
        raise ConfigurationError(f"is not valid YAML{where}") from error
    if not document:
        raise ConfigurationError("is empty")
    if not isinstance(document, dict) or document.get("apiVersion") not in API_VERSIONS:
        raise ConfigurationError(f"apiVersion: must be {API_VERSIONS[0]}")
    if document.get("kind") != KIND:
        raise ConfigurationError(f"kind: must be {KIND}, not {document.get('kind')!r}")
    faults = list(_faults(document))
    if faults:
        raise ConfigurationError("; ".join(faults))
    return Transformers(_rules(document["resources"]))


# ----- checks


def _faults(document: Obj) -> Iterator[str]:
    yield from _unknown("", document, ("apiVersion", "kind", "resources"))
    rules = document.get("resources")
    if not rules or not isinstance(rules, list):
        yield "resources: Required value: at least one resources is required"
        return
    for at, rule in enumerate(rules):
        where = f"resources[{at}]"
        if not isinstance(rule, dict):
            yield f"{where}: Invalid value: must be an object"
            continue
        yield from _unknown(where, rule, ("resources", "providers"))
        yield from _resource_faults(f"{where}.resources", rule.get("resources"))
        yield from _provider_faults(f"{where}.providers", rule.get("providers"))
    yield from _masked(rules)
    yield from _names_twice(rules)


def _unknown(where: str, given: Obj, known: tuple[str, ...]) -> Iterator[str]:
    for field in given:
        if field not in known:
            yield f'unknown field "{where}{"." if where else ""}{field}"'


def _resource_faults(where: str, names: Any) -> Iterator[str]:
    if not names or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        yield f"{where}: Required value: at least one {where} is required"
        return
    for at, name in enumerate(names):
        fault = _name_fault(name)
        if fault:
            yield f'{where}[{at}]: Invalid value: "{name}": {fault}'
    yield from _overlap_faults(where, [group_resource(name) for name in names])


def _name_fault(name: str) -> str:
    group, plural = group_resource(name)
    if name != name.lower():
        return "resource name should not contain capital letters"
    if name == EVERY:
        return "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
    if name in _NOT_REST:
        return "resources which do not have REST API/s cannot be encrypted"
    if group == "events.k8s.io":
        return (
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. "
            "Use 'events' instead in the config file"
        )
    if group == "extensions":
        return "'extensions' group has been removed and cannot be used for encryption"
    if group == EVERY and plural != EVERY:
        return "encrypting the same resource across groups is not supported"
    return ""


def _overlap_faults(where: str, resources: list[GroupResource]) -> Iterator[str]:
    if len(set(resources)) != len(resources):
        yield f"{where}: Invalid value: the same resource cannot be specified multiple times"
    for resource in dict.fromkeys(resources):
        others = [other for other in resources if other != resource]
        group = resource[0]
        if resource[1] == EVERY and any(group == EVERY or other[0] == group for other in others):
            yield (
                f"{where}: Invalid value: using overlapping resources such as 'secrets' and '*.' "
                "in the same resource list is not allowed as they will be masked"
            )
            return


def _provider_faults(where: str, providers: Any) -> Iterator[str]:
    if not providers or not isinstance(providers, list):
        yield f"{where}: Required value: at least one {where} is required"
        return
    for at, provider in enumerate(providers):
        here = f"{where}[{at}]"
        if not isinstance(provider, dict) or not provider:
            yield (
                f"{here}: Invalid value: provider does not contain any of the expected providers: "
                + ", ".join(_PROVIDERS)
            )
            continue
        yield from _unknown(here, provider, _PROVIDERS)
        if len(provider) > 1:
            yield (
                f"{here}: Invalid value: more than one provider specified in a single element, "
                "should split into different list elements"
            )
        for kind, body in provider.items():
            yield from _keys_faults(here, kind, body)


def _keys_faults(where: str, kind: str, body: Any) -> Iterator[str]:
    if kind == "kms":
        yield from _plugin_faults(f"{where}.kms", body)
    if kind not in _KEYED:
        return
    keys = body.get("keys") if isinstance(body, dict) else None
    if not keys or not isinstance(keys, list):
        yield f"{where}.{kind}.keys: Required value: at least one keys is required"
        return
    for at, key in enumerate(keys):
        here = f"{where}.{kind}.keys[{at}]"
        if not isinstance(key, dict):
            yield f"{here}: Invalid value: must be an object"
            continue
        yield from _unknown(here, key, ("name", "secret"))
        yield from _key_faults(here, key, _KEYED[kind][1])


def _key_faults(where: str, key: Obj, sizes: tuple[int, ...]) -> Iterator[str]:
    name, secret = key.get("name"), key.get("secret")
    if not name or not isinstance(name, str):
        yield f"{where}.name: Required value: name is a mandatory field for a key"
    if not secret or not isinstance(secret, str):
        yield f"{where}.secret: Required value: secret is a mandatory field for a key"
        return
    try:
        size = len(base64.b64decode(secret, validate=True))
    except binascii.Error:
        yield f'{where}.secret: Invalid value: "REDACTED": secrets must be base64 encoded'
        return
    if size not in sizes:
        listed = " ".join(map(str, sizes))
        yield (
            f'{where}.secret: Invalid value: "REDACTED": secret is not of the expected length, '
            f"got {size}, expected one of [{listed}]"
        )


def _plugin_faults(where: str, body: Any) -> Iterator[str]:
    if not isinstance(body, dict):
        yield f"{where}: Required value: provider {where} is missing its configuration"
        return
    yield from _unknown(where, body, ("apiVersion", "name", "endpoint", "timeout", "cachesize"))
    version, name = body.get("apiVersion", "v1"), body.get("name")
    if version != "v2":
        yield (
            f'{where}.apiVersion: Invalid value: "{version}": unsupported apiVersion {version} for KMS '
            "provider, only v2 is supported"
        )
    if not isinstance(name, str) or not name:
        yield f"{where}.name: Required value: name is a required field for a KMS provider"
    elif ":" in name:
        yield f'{where}.name: Invalid value: "{name}": invalid name: contains ":"'
    endpoint = body.get("endpoint")
    if not isinstance(endpoint, str) or not endpoint:
        yield f"{where}.endpoint: Required value: endpoint is a required field for a KMS provider"
    elif not endpoint.startswith(_UNIX):
        yield f'{where}.endpoint: Invalid value: "{endpoint}": unsupported scheme, only unix:// is supported'
    if body.get("cachesize") is not None:
        yield f"{where}.cachesize: Invalid value: {body['cachesize']}: cachesize is not supported in v2"
    if _seconds(body.get("timeout")) is None:
        yield f'{where}.timeout: Invalid value: "{body.get("timeout")}": must be a positive duration such as 3s'


def _seconds(text: Any) -> float | None:
    """A duration such as ``3s``, ``1m30s`` or ``500ms``; upstream's default when it is left out."""
    if text is None:
        return _PLUGIN_SECONDS
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    parts = re.findall(r"([\d.]+)(ms|s|m|h)", text) if isinstance(text, str) else []
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    total = sum(float(number) * units[unit] for number, unit in parts)
    return total if total > 0 else None


def _names_twice(rules: list[Any]) -> Iterator[str]:
    seen: set[str] = set()
    for at, rule in enumerate(rules):
        providers = rule.get("providers") if isinstance(rule, dict) else None
        for number, provider in enumerate(providers if isinstance(providers, list) else ()):
            body = provider.get("kms") if isinstance(provider, dict) else None
            name = body.get("name") if isinstance(body, dict) else None
            if isinstance(name, str) and name in seen:
                yield f'resources[{at}].providers[{number}].kms.name: Invalid value: "{name}": duplicate provider name'
            seen.add(str(name))


def _masked(rules: list[Any]) -> Iterator[str]:
    earlier: set[GroupResource] = set()
    for rule in rules:
        names = rule.get("resources") if isinstance(rule, dict) else None
        for name in names if isinstance(names, list) else ():
            resource = group_resource(str(name))
            for wide in ((resource[0], EVERY), (EVERY, EVERY)):
                if wide in earlier:
                    yield f'resource "{name}" is masked by earlier rule "{_shown(wide)}"'
                    break
        earlier |= {group_resource(str(name)) for name in names or ()}


# ----- what it says


def group_resource(text: str) -> GroupResource:
    """``deployments.apps`` as (apps, deployments); ``*.`` is every resource of the core group."""
    plural, _, group = text.partition(".")
    return group, plural


def _shown(resource: GroupResource) -> str:
    return f"{resource[1]}.{resource[0]}"


def _rules(configured: list[Obj]) -> dict[GroupResource, list[Provider]]:
    rules: dict[GroupResource, list[Provider]] = {}
    for rule in configured:
        providers = [_provider(provider) for provider in rule["providers"]]
        for name in rule["resources"]:
            rules.setdefault(group_resource(name), []).extend(providers)
    return rules


def _provider(configured: Obj) -> Provider:
    kind, body = next(iter(configured.items()))
    if kind == "identity":
        return Identity()
    if kind == "kms":
        from kdist.storage.encryption.kms import KmsProvider, Plugin  # gRPC only where there are plug-ins

        return KmsProvider(Plugin(body["name"], body["endpoint"], _seconds(body.get("timeout")) or 0.0))
    make = _KEYED[kind][0]
    return Keyed(kind, [(key["name"], make(base64.b64decode(key["secret"]))) for key in body["keys"]])
