"""Service-account tokens kept in Secrets: believed while the Secret has them and the account is the same.

When one is used, the day is noted on its Secret, and a ConfigMap says since when: tokens that nobody uses can
then be found (the controllers invalidate and delete them).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import jwt

from kdist.api import meta
from kdist.api.errors import AlreadyExists, ApiError, Unauthorized
from kdist.api.kinds import CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS
from kdist.apiserver.authn.keys import KeySet, algorithm, unverified
from kdist.apiserver.authn.tokens import CACHE_SIZE, Verified
from kdist.apiserver.authn.user import service_account_user, split_service_account
from kdist.apiserver.ports import Obj, Reader, Writer
from kdist.telemetry import log

_log = log.get(__name__)
ISSUER = "kubernetes/serviceaccount"
LAST_USED = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
TRACKING = "kube-apiserver-legacy-service-account-token-tracking"
_CLAIM = "kubernetes.io/serviceaccount/"
_CLAIMS = ("namespace", "secret.name", "service-account.name", "service-account.uid")


class LegacyTokens:
    """Says whose such a token is. ``used`` is told of the Secret whenever its day of use is not noted yet."""

    def __init__(
        self,
        keys: KeySet,
        reader: Reader,
        *,
        audiences: Sequence[str],
        used: Callable[[Obj], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys, self._reader, self._used, self._clock = keys, reader, used, clock
        self._audiences = tuple(audiences)
        self._seen: OrderedDict[str, Obj] = OrderedDict()
        self._seen_by = keys.public

    def verify(self, token: str, audiences: Sequence[str] | None = None) -> Verified | None:
        """The token's user, None when it is not one of these; Unauthorized when it does not hold."""
        if self._seen_by is not self._keys.public:  # a signature may have lost its worth
            self._seen.clear()
            self._seen_by = self._keys.public
        claims = self._seen.get(token) or self._decode(token)
        if claims is None:
            return None
        shared = self._audiences if audiences is None else tuple(a for a in self._audiences if a in audiences)
        if not shared:
            raise Unauthorized("token audiences are invalid for the target audiences")
        secret = self._held(token, claims)
        self._note(secret)
        if INVALID_SINCE in meta.labels(secret):
            raise Unauthorized(
                f"the token in secret {meta.key(secret)} has been marked invalid. Use tokens from the TokenRequest "
                f"API, or remove the '{INVALID_SINCE}' label from the secret to temporarily allow use of it"
            )
        user = service_account_user(
            claims["namespace"], claims["service-account.name"], claims["service-account.uid"]
        )
        return Verified(user, shared)

    def _decode(self, token: str) -> Obj | None:
        told = unverified(token)
        if told is None:
            return None
        header, loose = told
        if loose.get("iss") != ISSUER:
            return None
        if not any(self._signed(token, key) for key in self._keys.candidates(header.get("kid"))):
            raise Unauthorized("service account token has an invalid signature")
        claims = {name: loose.get(_CLAIM + name) for name in _CLAIMS}
        subject = (claims["namespace"], claims["service-account.name"])
        if not all(claims.values()) or split_service_account(loose.get("sub", "")) != subject:
            raise Unauthorized("service account token's subject and private claims differ")
        self._seen[token] = claims
        if len(self._seen) > CACHE_SIZE:
            self._seen.popitem(last=False)
        return claims

    @staticmethod
    def _signed(token: str, key: object) -> bool:
        try:
            jwt.decode(token, key, algorithms=[algorithm(key)], options={"verify_aud": False})  # type: ignore[arg-type]
        except jwt.InvalidTokenError:
            return False
        return True

    def _held(self, token: str, claims: Obj) -> Obj:
        namespace, name = claims["namespace"], claims["secret.name"]
        secret = self._reader.get(SECRETS, namespace, name)
        if secret is None or meta.is_deleting(secret):
            raise Unauthorized("Token has been invalidated")
        try:
            kept = base64.b64decode(meta.get(secret, "data.token", ""))
        except binascii.Error:
            kept = b""
        if not hmac.compare_digest(kept, token.encode()):
            raise Unauthorized("Token does not match server's copy")
        account = self._reader.get(SERVICE_ACCOUNTS, namespace, claims["service-account.name"])
        if account is None or meta.is_deleting(account) or meta.uid(account) != claims["service-account.uid"]:
            raise Unauthorized("service account token has been invalidated: its ServiceAccount is gone")
        return secret

    def _note(self, secret: Obj) -> None:
        if meta.labels(secret).get(LAST_USED, "") < _day(self._clock()):
            self._used(secret)


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


class UseNotes:
    """Writes the days of use, one after the other, behind the requests that used the tokens."""

    def __init__(self, writer: Writer, clock: Callable[[], float] = time.time) -> None:
        self._writer, self._clock = writer, clock
        self._queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._waiting: set[tuple[str, str]] = set()

    def used(self, secret: Obj) -> None:
        """Note the use of a Secret's token soon."""
        key = (meta.namespace(secret), meta.name(secret))
        if key not in self._waiting:
            self._waiting.add(key)
            self._queue.put_nowait(key)

    async def run(self) -> None:
        """Write until cancelled."""
        await self._tell_since()
        while True:
            namespace, name = await self._queue.get()
            try:
                await self._write(namespace, name)
            except ApiError as error:
                _log.warning("cannot note a token's use", namespace=namespace, name=name, error=error.message)
            self._waiting.discard((namespace, name))

    async def _write(self, namespace: str, name: str) -> None:
        secret = await self._writer.get(SECRETS, namespace, name)
        labels = {**meta.labels(secret), LAST_USED: _day(self._clock())}
        await self._writer.update(SECRETS, {**secret, "metadata": {**secret["metadata"], "labels": labels}})

    async def _tell_since(self) -> None:
        metadata = {"name": TRACKING, "namespace": "kube-system"}
        try:
            await self._writer.create(
                CONFIG_MAPS, {"metadata": metadata, "data": {"since": _day(self._clock())}}
            )
        except AlreadyExists:
            return
        except ApiError as error:
            _log.warning("cannot tell since when the use of tokens is noted", error=error.message)
