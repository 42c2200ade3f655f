"""The chain of authenticators, in the order that decides when a request carries several credentials."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Protocol

from kdist.api.errors import Unauthorized
from kdist.apiserver.authn import headers as http
from kdist.apiserver.authn.bootstraptokens import BootstrapTokens
from kdist.apiserver.authn.certificates import Authority, peer_certificate
from kdist.apiserver.authn.frontproxy import FrontProxy
from kdist.apiserver.authn.legacytokens import LegacyTokens
from kdist.apiserver.authn.tokens import TokenVerifier, Verified
from kdist.apiserver.authn.user import ANONYMOUS, User

# Browsers cannot set Authorization on a WebSocket: the token travels as a subprotocol.
WEBSOCKET_TOKEN = "base64url.bearer.authorization.k8s.io."


class RemoteTokens(Protocol):
    """Tokens that others issue: OpenID Connect, webhooks."""

    async def verify(self, token: str, audiences: Sequence[str] | None = None) -> Verified | None:
        """The token's user, None when it is not theirs; Unauthorized when it is and does not hold."""


class Anonymous:
    """Whether a request without credentials may be anonymous; ``paths`` None: on every path."""

    def __init__(self, *, enabled: bool = True, paths: Sequence[str] | None = None) -> None:
        self._enabled = enabled
        self._paths = frozenset(paths) if paths is not None else None

    def allows(self, path: str) -> bool:
        """Whether it may, on this path."""
        return self._enabled and (self._paths is None or path in self._paths)


class Authenticator:
    """Front proxy, client certificate, bearer token; a request without credentials is anonymous."""

    def __init__(
        self,
        *,
        tokens: TokenVerifier | None = None,
        legacy_tokens: LegacyTokens | None = None,
        bootstrap_tokens: BootstrapTokens | None = None,
        client_ca: Authority | None = None,
        front_proxy: FrontProxy | None = None,
        remote: Sequence[RemoteTokens] = (),
        anonymous: Anonymous | None = None,
    ) -> None:
        self._tokens, self._legacy, self._bootstrap = tokens, legacy_tokens, bootstrap_tokens
        self._client_ca, self._front_proxy = client_ca, front_proxy
        #: Replaced as a whole when their configuration changes, as is :attr:`anonymous`.
        self.remote = tuple(remote)
        self.anonymous = anonymous or Anonymous()

    async def authenticate(self, scope: http.Scope, headers: http.Headers | None = None) -> User | None:
        """Who sends the request; ``headers`` default to the scope's. None when nobody and no anonymous.

        Raises Unauthorized when the request carries a token that does not hold.
        """
        headers = scope["headers"] if headers is None else headers
        user = self._by_certificate(scope, headers)
        if user is not None:
            return user.authenticated()
        token = http.bearer_token(headers) or _websocket_token(headers)
        if token:
            return await self._by_token(token)
        return ANONYMOUS if self.anonymous.allows(scope.get("path", "")) else None

    async def _by_token(self, token: str) -> User:
        try:
            verified = await self.authenticate_token(token)
        except Unauthorized as error:  # why is nobody's business who has no valid token
            raise Unauthorized("Unauthorized") from error
        if verified is None:
            raise Unauthorized("Unauthorized")
        return verified.user

    async def authenticate_token(self, token: str, audiences: Sequence[str] | None = None) -> Verified | None:
        """The token's user for these audiences: the first that knows it. None when nobody does.

        Raises Unauthorized with every reason when somebody knows it and it does not hold.
        """
        failures: list[Unauthorized] = []
        for source in (self._tokens, self._legacy):
            if source is None:
                continue
            try:
                verified = source.verify(token, audiences)
            except Unauthorized as error:
                failures.append(error)
                continue
            if verified is not None:
                return verified
        verified = self._by_bootstrap_token(token, audiences)
        if verified is not None:
            return verified
        for remote in self.remote:
            try:
                verified = await remote.verify(token, audiences)
            except Unauthorized as error:
                failures.append(error)
                continue
            if verified is not None:
                return verified
        if not failures:
            return None
        listed = ", ".join(error.message for error in failures)
        raise failures[0] if len(failures) == 1 else Unauthorized(f"[{listed}]")

    def _by_bootstrap_token(self, token: str, audiences: Sequence[str] | None) -> Verified | None:
        user = self._bootstrap.authenticate(token) if self._bootstrap is not None else None
        if user is None:
            return None
        # A bootstrap token says nothing about audiences: it is good for this server and nobody else.
        own = self._tokens.audiences if self._tokens is not None else ()
        shared = own if audiences is None else tuple(a for a in audiences if a in own)
        return Verified(user.authenticated(), shared) if shared or audiences is None else None

    def _by_certificate(self, scope: http.Scope, headers: http.Headers) -> User | None:
        if self._front_proxy is not None:
            user = self._front_proxy.authenticate(scope, headers)
            if user is not None:
                return user
        certificate = peer_certificate(scope)
        if self._client_ca is None or certificate is None:
            return None
        return self._client_ca.user(certificate)


def _websocket_token(headers: http.Headers) -> str:
    for value in http.values(headers, b"sec-websocket-protocol"):
        for protocol in value.split(","):
            encoded = protocol.strip()
            if encoded.startswith(WEBSOCKET_TOKEN):
                return _unpadded(encoded.removeprefix(WEBSOCKET_TOKEN))
    return ""


def _unpadded(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Unauthorized("Unauthorized") from error
