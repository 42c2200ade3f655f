"""Reading bootstrap tokens from their Secrets, and the signatures made with them. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.pki import jws

TYPE = "bootstrap.kubernetes.io/token"
_PREFIX = "bootstrap-token-"
_ID, _SECRET = re.compile(r"[a-z0-9]{6}"), re.compile(r"[a-z0-9]{16}")


@dataclass(frozen=True, slots=True)
class Token:
    """A bootstrap token. ``expires`` None: never; ``signs``: whether it signs cluster-info."""

    id: str
    secret: str
    signs: bool
    expires: datetime | None
    faulty_expiry: bool = False

    def is_expired(self, now: datetime) -> bool:
        """Whether it serves no more; an expiry that cannot be read counts as past."""
        return self.faulty_expiry or (self.expires is not None and self.expires <= now)


def read(secret: Obj) -> Token | None:
    """The token of a Secret; None when it holds none, or one of another name."""
    if secret.get("type") != TYPE or not meta.name(secret).startswith(_PREFIX):
        return None
    try:
        data = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
    except (binascii.Error, UnicodeDecodeError):
        return None
    identity, value = data.get("token-id", ""), data.get("token-secret", "")
    if meta.name(secret) != _PREFIX + identity or not _ID.fullmatch(identity) or not _SECRET.fullmatch(value):
        return None
    signs = data.get("usage-bootstrap-signing") == "true"
    text = data.get("expiration", "")
    try:
        expires = meta.parse_time(text) if text else None
    except ValueError:
        return Token(identity, value, signs, None, faulty_expiry=True)
    return Token(identity, value, signs, expires)


def sign(content: str, token: Token) -> str:
    """The signature of the content by which a joining host believes it."""
    return jws.detached(content, token.id, token.secret)
