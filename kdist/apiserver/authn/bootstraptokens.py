"""Bootstrap tokens: ``id.secret`` kept in a Secret of kube-system, for machines that join."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import time
from collections.abc import Callable

from kdist.api import meta
from kdist.api.kinds import SECRETS
from kdist.apiserver.authn.user import User
from kdist.apiserver.ports import Obj, Reader

_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")
SECRET_TYPE = "bootstrap.kubernetes.io/token"


class BootstrapTokens:
    """Authenticates joining machines as ``system:bootstrap:ID``."""

    def __init__(self, reader: Reader, clock: Callable[[], float] = time.time) -> None:
        self._reader, self._clock = reader, clock

    def authenticate(self, token: str) -> User | None:
        """The token's user, or None when there is no such usable token."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        identity, secret = match.groups()
        stored = self._reader.get(SECRETS, "kube-system", f"bootstrap-token-{identity}")
        if stored is None or stored.get("type") != SECRET_TYPE or meta.is_deleting(stored):
            return None
        data = _decode(stored)
        matches = hmac.compare_digest(data.get("token-secret", ""), secret)
        if not matches or data.get("token-id") != identity or not self._usable(data):
            return None
        extra = [g for g in data.get("auth-extra-groups", "").split(",") if _GROUP.fullmatch(g)]
        return User(f"system:bootstrap:{identity}", groups=("system:bootstrappers", *extra))

    def _usable(self, data: dict[str, str]) -> bool:
        if data.get("usage-bootstrap-authentication") != "true":
            return False
        try:
            expires = data.get("expiration")
            return not expires or meta.parse_time(expires).timestamp() > self._clock()
        except ValueError:  # an unreadable expiry is an expired one
            return False


def _decode(secret: Obj) -> dict[str, str]:
    try:
        return {k: base64.b64decode(v).decode() for k, v in (secret.get("data") or {}).items()}
    except (binascii.Error, UnicodeDecodeError):  # not a token that anyone could have presented
        return {}
