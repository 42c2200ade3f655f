"""Bootstrap tokens as Secrets of kube-system, in the form that every Kubernetes tool knows. Pure but for chance."""

from __future__ import annotations

import base64
import re
import secrets
import string
from dataclasses import dataclass
from datetime import datetime, timedelta

from kdist.api import meta
from kdist.api.meta import Obj

NAMESPACE = "kube-system"
TYPE = "bootstrap.kubernetes.io/token"
GROUP = "system:bootstrappers:kubeadm:default-node-token"
PREFIX = "bootstrap-token-"
_ALPHABET = string.ascii_lowercase + string.digits
_FORM = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}\Z")
_TTL = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?\Z")


class InvalidToken(ValueError):
    """The text is no token, or no time to live."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A token of the cluster; its secret half is not shown."""

    id: str
    expires: datetime | None
    usages: tuple[str, ...]
    description: str


def generate() -> str:
    """A new token, ``abcdef.0123456789abcdef``."""
    identity, secret = ("".join(secrets.choice(_ALPHABET) for _ in range(n)) for n in (6, 16))
    return f"{identity}.{secret}"


def split(token: str) -> tuple[str, str]:
    """Its public and its secret half. Raises InvalidToken."""
    if not _FORM.match(token):
        raise InvalidToken("a token is six characters, a dot and sixteen, of a-z and 0-9")
    identity, _, secret = token.partition(".")
    return identity, secret


def lifetime(text: str) -> timedelta | None:
    """``24h``, ``90m``, ``1h30m``; None for ``0``: for ever. Raises InvalidToken."""
    if text == "0":
        return None
    found = _TTL.match(text)
    if not text or found is None:
        raise InvalidToken(
            f"{text!r} is no time to live: 24h, 90m, 1h30m, or 0 for a token that does not expire"
        )
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def secret(token: str, ttl: timedelta | None, now: datetime, description: str) -> Obj:
    """The Secret that makes the token valid. Raises InvalidToken."""
    identity, value = split(token)
    data = {
        "token-id": identity,
        "token-secret": value,
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": GROUP,
        "description": description,
    }
    if ttl is not None:
        data["expiration"] = f"{now + ttl:%Y-%m-%dT%H:%M:%SZ}"
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": TYPE,
        "metadata": {"name": PREFIX + identity, "namespace": NAMESPACE},
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()},
    }


def read(obj: Obj) -> Listed:
    """What a token's Secret says, its secret half aside. An expiry that cannot be read is ValueError."""
    data = {key: base64.b64decode(text).decode() for key, text in (obj.get("data") or {}).items()}
    kinds = {"authentication": "usage-bootstrap-authentication", "signing": "usage-bootstrap-signing"}
    ends = data.get("expiration")
    return Listed(
        data.get("token-id") or meta.name(obj).removeprefix(PREFIX),
        meta.parse_time(ends) if ends else None,
        tuple(kind for kind, key in kinds.items() if data.get(key) == "true"),
        data.get("description", ""),
    )
