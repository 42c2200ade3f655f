"""Verifies tokens of the configured issuers."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import jwt

from kdist.api.errors import Unauthorized
from kdist.apiserver.authn.oidc.issuer import Issuer
from kdist.apiserver.authn.oidc.keys import IssuerKeys
from kdist.apiserver.authn.tokens import CACHE_SIZE, Verified
from kdist.apiserver.authn.user import User

# How long a verified token is believed without being looked at again: as upstream's token cache.
CACHE_SECONDS = 10.0
NOT_BEFORE_LEEWAY = 300.0  # seconds that the issuer's clock may be ahead


class IssuerTokens:
    """The tokens of one issuer."""

    def __init__(
        self, issuer: Issuer, keys: IssuerKeys | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.issuer = issuer
        self._keys, self._clock = keys or IssuerKeys(issuer), clock

    async def user(self, token: str, kid: str | None) -> User:
        """The token's user. Raises Unauthorized."""
        claims = await self._verified(token, kid)
        self._check(claims)
        return self.issuer.user(claims)

    async def _verified(self, token: str, kid: str | None) -> dict[str, Any]:
        failure: Exception | None = None
        for key in await self._keys.find(kid):
            try:
                claims: dict[str, Any] = jwt.decode(
                    token,
                    key,
                    algorithms=self.issuer.algorithms,
                    options={"verify_aud": False, "verify_exp": False, "verify_nbf": False,
                             "verify_iat": False, "verify_sub": False, "verify_jti": False},
                )  # fmt: skip
            except (jwt.InvalidTokenError, TypeError) as error:
                failure = error
            else:
                return claims
        raise Unauthorized(f"oidc: verify token: failed to verify signature: {failure or 'no such key'}")

    def _check(self, claims: dict[str, Any]) -> None:
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else audience or []
        if not set(self.issuer.audiences) & set(audiences):
            expected = " ".join(f'"{a}"' for a in self.issuer.audiences)
            raise Unauthorized(f"oidc: verify token: oidc: expected audience in [{expected}] got {audiences}")
        now = self._clock()
        expires, begins = claims.get("exp"), claims.get("nbf")
        if not isinstance(expires, int | float) or expires <= now:
            raise Unauthorized("oidc: verify token: oidc: token is expired")
        if isinstance(begins, int | float) and begins > now + NOT_BEFORE_LEEWAY:
            raise Unauthorized("oidc: verify token: oidc: current time is before the nbf (not before) time")


class OpenIdTokens:
    """The tokens of all issuers. ``own`` are this API's audiences, for which such tokens are good."""

    def __init__(
        self, issuers: Sequence[IssuerTokens], own: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuers = {tokens.issuer.url: tokens for tokens in issuers}
        self._own, self._clock = tuple(own), clock
        self._seen: OrderedDict[str, tuple[float, User]] = OrderedDict()

    async def verify(self, token: str, audiences: Sequence[str] | None = None) -> Verified | None:
        """The token's user, None when no configured issuer made it; Unauthorized when it does not hold."""
        shared = self._own if audiences is None else tuple(a for a in self._own if a in audiences)
        if not shared:
            return None
        until, user = self._seen.get(token, (float("-inf"), None))
        if user is None or until < self._clock():
            user = await self._verify(token)
            if user is None:
                return None
            self._remember(token, user)
        return Verified(user, shared)

    async def _verify(self, token: str) -> User | None:
        try:
            header = jwt.get_unverified_header(token)
            issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except jwt.InvalidTokenError:
            return None
        tokens = self._issuers.get(issuer) if isinstance(issuer, str) else None
        if tokens is None:
            return None
        return (await tokens.user(token, header.get("kid"))).authenticated()

    def _remember(self, token: str, user: User) -> None:
        self._seen[token] = (self._clock() + CACHE_SECONDS, user)
        self._seen.move_to_end(token)
        if len(self._seen) > CACHE_SIZE:
            self._seen.popitem(last=False)
