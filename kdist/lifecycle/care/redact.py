"""Taking secrets out of what leaves the operator's machine. Pure.

Two ways together: objects lose what may hold a secret by their structure, and every text is searched for what looks
like one. Rather too much is taken out than too little; that something was there stays to be seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

GONE = "<redacted>"
# Names of settings, variables, flags and annotations whose values nobody else may see.
_WORDS = r"pass(?:word|wd|phrase)?|secret|token|credential|(?:api|private|access)[_-]?key|auth(?:orization)?"
_NAME = rf"[\w.-]*(?:{_WORDS})[\w.-]*"
_SENSITIVE = re.compile(_NAME, re.I)
# A file, a name or an address is no secret, and what one looks for.
_HARMLESS = re.compile(
    r".*(?:file|path|dir|name|mode|url|ttl|type|audience|expir\w*|mount\w*|seconds|config|webhook\w*)$", re.I
)
_PATTERNS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S),
    # The three parts of a signed token.
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),
    # A bootstrap token; its identifier alone is no secret, but nobody needs it.
    re.compile(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
)
_KEYED = (
    re.compile(r"(client-key-data|client-certificate-data|\bsecret)(\"?\s*:\s*\"?)([A-Za-z0-9+/=]{16,})"),
    re.compile(r"\b(bearer|basic)(\s+)([\w.+/=~-]{8,})", re.I),
)
_ASSIGNED = re.compile(rf"(?P<name>{_NAME})(?P<by>\"?\s*[=:]\s*\"?)(?P<value>[^\s\"',;{{}}\[\]<>]+)", re.I)


def text(given: str) -> str:
    """A text without what looks like a secret."""
    for pattern in _PATTERNS:
        given = pattern.sub(GONE, given)
    for pattern in _KEYED:
        given = pattern.sub(rf"\1\2{GONE}", given)
    return _ASSIGNED.sub(_assigned, given)


def _assigned(found: re.Match[str]) -> str:
    if _HARMLESS.match(found["name"]) or found["value"].lower() in (
        "true",
        "false",
        "null",
        "none",
        "0",
        "1",
    ):
        return found[0]
    if found["value"].startswith("/"):  # where it lies
        return found[0]
    return f"{found['name']}{found['by']}{GONE}"


def value(given: Any, name: str = "") -> Any:
    """Plain data without secrets: by the names of keys, and text by what it looks like."""
    if isinstance(given, Mapping):
        return {key: value(inner, str(key)) for key, inner in given.items()}
    if isinstance(given, list | tuple):
        return [value(inner, name) for inner in given]
    if isinstance(given, str):
        hidden = bool(given) and _is_sensitive(name) and not given.startswith("/")
        return GONE if hidden else text(given)
    return given


def _is_sensitive(name: str) -> bool:
    return bool(_SENSITIVE.fullmatch(name)) and not _HARMLESS.match(name)


Obj = dict[str, Any]


def obj(given: Mapping[str, Any]) -> Obj:
    """An object of the API without secrets and without what nobody reads in a bundle (managedFields)."""
    found: Obj = dict(given)
    metadata = {k: v for k, v in given.get("metadata", {}).items() if k != "managedFields"}
    # A copy of the whole object as somebody applied it, secrets in variables included.
    metadata["annotations"] = {
        k: GONE if k.endswith("last-applied-configuration") else v
        for k, v in (metadata.get("annotations") or {}).items()
    }
    found["metadata"] = metadata
    rule: Callable[[Obj], Obj] = _BY_KIND.get(str(given.get("kind")), lambda same: same)
    cleaned: Obj = _environment(rule(value(found)))
    return cleaned


def _config_map(given: Obj) -> Obj:
    """Just the keys of what people put in: nobody can tell what a program's configuration holds."""
    if given["metadata"].get("namespace") == "kube-system":
        return given
    sizes = {k: f"<{len(str(v))} characters>" for k, v in (given.get("data") or {}).items()}
    return {**given, "data": sizes, "binaryData": {}}


_BY_KIND: dict[str, Callable[[Obj], Obj]] = {"ConfigMap": _config_map}


def _environment(given: Any) -> Any:
    """Literal values of containers' variables go, whatever they are called."""
    if isinstance(given, list):
        return [_environment(inner) for inner in given]
    if not isinstance(given, dict):
        return given
    found = {key: _environment(inner) for key, inner in given.items()}
    if isinstance(found.get("env"), list):
        found["env"] = [
            {**entry, "value": GONE} if isinstance(entry, dict) and entry.get("value") else entry
            for entry in found["env"]
        ]
    return found
