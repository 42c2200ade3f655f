"""ConfigMaps, Secrets and ServiceAccounts."""

from __future__ import annotations

import base64

import orjson

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.validation import causes, names

_MAX_BYTES = 1024 * 1024
_TOKEN = "kubernetes.io/service-account-token"
_ACCOUNT_ANNOTATION = "kubernetes.io/service-account.name"
# The keys that a typed Secret must have.
_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def _frozen(new: Obj, old: Obj, fields: tuple[str, ...]) -> list[Cause]:
    """An immutable object stays immutable, and so does its content."""
    if not old.get("immutable"):
        return []
    told = "field is immutable when `immutable` is set"
    changed = [f for f in fields if new.get(f) != old.get(f)]
    found = [causes.forbidden(field, told) for field in changed]
    return found if new.get("immutable") else [causes.forbidden("immutable", told), *found]


class ConfigMapStrategy(Strategy):
    """ConfigMaps."""

    def check(self, obj: Obj) -> list[Cause]:
        """Keys are file names, each in one place; all of it fits a mebibyte."""
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        found: list[Cause] = []
        for field, entries in (("data", data), ("binaryData", binary)):
            for key in sorted(entries):
                found += [causes.invalid(f"{field}[{key}]", key, c) for c in names.config_key(key)]
        for key in data.keys() & binary.keys():
            found.append(causes.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        size = sum(len(v.encode()) for v in data.values()) + sum(len(v) * 3 // 4 for v in binary.values())
        return [*found, causes.too_long("", _MAX_BYTES)] if size > _MAX_BYTES else found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Immutable ones stay as they are."""
        return _frozen(new, old, ("data", "binaryData"))


class SecretStrategy(Strategy):
    """Secrets."""

    def default(self, obj: Obj) -> None:
        """Opaque unless told otherwise; stringData is written into data."""
        if not obj.get("type"):
            obj["type"] = "Opaque"
        plain = obj.pop("stringData", None)
        if plain:
            data = obj.setdefault("data", {})
            data.update({k: base64.b64encode(v.encode()).decode() for k, v in plain.items()})

    def check(self, obj: Obj) -> list[Cause]:
        """Keys are file names; a typed Secret has what its type needs."""
        data = obj.get("data") or {}
        found = [causes.invalid(f"data[{k}]", k, c) for k in data for c in names.config_key(k)]
        if sum(len(v) * 3 // 4 for v in data.values()) > _MAX_BYTES:
            found.append(causes.too_long("data", _MAX_BYTES))
        kind = obj.get("type")
        if kind == _TOKEN and not meta.annotations(obj).get(_ACCOUNT_ANNOTATION):
            found.append(causes.required(f"metadata.annotations[{_ACCOUNT_ANNOTATION}]"))
        found += [causes.required(f"data[{k}]") for k in _KEYS.get(kind or "", ()) if k not in data]
        if kind == "kubernetes.io/ssh-auth" and data.get("ssh-privatekey") == "":
            found.append(causes.required("data[ssh-privatekey]"))
        if kind == "kubernetes.io/basic-auth" and not data.keys() & {"username", "password"}:
            found += [causes.required("data[username]"), causes.required("data[password]")]
        for key in _KEYS.get(kind or "", ()):
            if "docker" in key and key in data and not _is_json(data[key]):
                first = base64.b64decode(data[key]).decode(errors="replace").strip()[:1]
                told = f"invalid character '{first}' looking for beginning of value"
                if not first:
                    told = "unexpected end of JSON input"
                found.append(causes.invalid(f"data[{key}]", "<secret contents redacted>", told))
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The type stays; immutable ones stay as they are."""
        return causes.immutable("type", new.get("type"), old.get("type")) + _frozen(new, old, ("data",))

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """A pair for TLS that is none."""
        data = obj.get("data") or {}
        if obj.get("type") != "kubernetes.io/tls":
            return []
        for key, told in (("tls.crt", "certificate"), ("tls.key", "key")):
            if b"-----BEGIN " not in base64.b64decode(data.get(key) or ""):
                return [f"tls: failed to find any PEM data in {told} input"]
        return []

    def fields(self, obj: Obj) -> dict[str, str]:
        """By type, too."""
        return {**super().fields(obj), "type": obj.get("type", "")}


def _is_json(encoded: str) -> bool:
    try:
        orjson.loads(base64.b64decode(encoded))
    except ValueError:
        return False
    return True


class ServiceAccountStrategy(Strategy):
    """ServiceAccounts: of their secrets only the names count."""

    def prepare_create(self, obj: Obj) -> None:
        """References to secrets are names."""
        super().prepare_create(obj)
        _only_names(obj)

    def prepare_update(self, new: Obj, old: Obj) -> None:
        """References to secrets are names."""
        super().prepare_update(new, old)
        _only_names(new)

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """The annotation that has had its day, where it is new."""
        have, had = meta.annotations(obj), meta.annotations(old or {"metadata": {}})
        if _MOUNTABLE not in have or _MOUNTABLE in had:
            return []
        instead = "prefer separate namespaces to isolate access to mounted secrets"
        return [f"metadata.annotations[{_MOUNTABLE}]: deprecated in v1.32+; {instead}"]


_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"


def _only_names(account: Obj) -> None:
    if secrets := account.get("secrets"):
        account["secrets"] = [{key: s[key] for key in ("name",) if key in s} for s in secrets]
