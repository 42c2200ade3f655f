"""The chain of authenticators, in the order that decides when a request carries several credentials."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from kdist.api.errors import Unauthorized
from kdist.apiserver.authn import headers as http
from kdist.apiserver.authn.bootstraptokens import BootstrapTokens
from kdist.apiserver.authn.certificates import Authority, peer_certificate
from kdist.apiserver.authn.frontproxy import FrontProxy
from kdist.apiserver.authn.tokens import TokenVerifier, Verified
from kdist.apiserver.authn.user import ANONYMOUS, User

# Browsers cannot set Authorization on a WebSocket: the token travels as a subprotocol.
WEBSOCKET_TOKEN = "base64url.bearer.authorization.k8s.io."


class Authenticator:
    """Front proxy, client certificate, bearer token; a request without credentials is anonymous."""

    def __init__(
        self,
        *,
        tokens: TokenVerifier | None = None,
        bootstrap_tokens: BootstrapTokens | None = None,
        client_ca: Authority | None = None,
        front_proxy: FrontProxy | None = None,
        anonymous: bool = True,
    ) -> None:
        self._tokens, self._bootstrap = tokens, bootstrap_tokens
        self._client_ca, self._front_proxy = client_ca, front_proxy
        self._anonymous = anonymous

    def authenticate(self, scope: http.Scope, headers: http.Headers | None = None) -> User | None:
        """Who sends the request; ``headers`` default to the scope's. None when nobody and no anonymous.

        Raises Unauthorized when the request carries a token that does not hold.
        """
        headers = scope["headers"] if headers is None else headers
        user = self._by_certificate(scope, headers)
        if user is not None:
            return user.authenticated()
        token = http.bearer_token(headers) or _websocket_token(headers)
        if token:
            return self._by_token(token)
        return ANONYMOUS if self._anonymous else None

    def _by_token(self, token: str) -> User:
        try:
            verified = self.authenticate_token(token)
        except Unauthorized as error:  # why is nobody's business who has no valid token
            raise Unauthorized("Unauthorized") from error
        if verified is None:
            raise Unauthorized("Unauthorized")
        return verified.user

    def authenticate_token(self, token: str, audiences: Sequence[str] | None = None) -> Verified | None:
        """The token's user for these audiences. Raises Unauthorized when it is one of ours and bad."""
        if self._tokens is not None:
            verified = self._tokens.verify(token, audiences)
            if verified is not None:
                return verified
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
