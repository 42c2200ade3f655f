"""An issuer's public keys: found by discovery, kept, and asked for again when a token names an unknown one."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt

from kdist.api.errors import Unauthorized
from kdist.apiserver.authn.oidc.issuer import Issuer
from kdist.telemetry import log

_log = log.get(__name__)
WELL_KNOWN = "/.well-known/openid-configuration"
TIMEOUT = 30.0  # seconds for one document
# Tokens with made-up key ids must not turn this server into a flood for the issuer.
ASK_AGAIN_SECONDS = 5.0
ANSWER_LIMIT = 4 << 20


class CannotFetch(Exception):
    """The issuer does not answer as it should."""


class IssuerKeys:
    """The keys of one issuer, by id. Keys that were seen stay until the issuer's answer lacks them."""

    def __init__(self, issuer: Issuer, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer, self._clock = issuer, clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._asked = float("-inf")
        self._failure = ""
        self._asking = asyncio.Lock()
        self._tls = _context(issuer.ca)

    async def find(self, kid: str | None) -> list[jwt.PyJWK]:
        """The keys that may have signed: the named one, or all when none is named. Unauthorized."""
        if not self._known(kid):
            await self._ask(kid)
        if not self._keys:
            url = self._issuer.url
            raise Unauthorized(f'oidc: authenticator for issuer "{url}" is not initialized: {self._failure}')
        if kid is None:
            return list(self._keys.values())
        return [self._keys[kid]] if kid in self._keys else []

    def _known(self, kid: str | None) -> bool:
        return bool(self._keys) if kid is None else kid in self._keys

    async def _ask(self, kid: str | None) -> None:
        async with self._asking:  # one question for everybody who waits
            if self._known(kid) or self._clock() < self._asked + ASK_AGAIN_SECONDS:
                return
            self._asked = self._clock()
            try:
                self._keys = await self._fetch()
            except CannotFetch as error:
                self._failure = str(error)
                _log.warning("cannot fetch an issuer's keys", issuer=self._issuer.url, error=str(error))

    async def _fetch(self) -> dict[str, jwt.PyJWK]:
        url = self._issuer.discovery_url or self._issuer.url.rstrip("/") + WELL_KNOWN
        document = await self._get(url)
        if document.get("issuer") != self._issuer.url:
            raise CannotFetch(
                f"issuer URL in the discovery document ({document.get('issuer')}) does not match the configured one"
            )
        listed = await self._get(str(document.get("jwks_uri")))
        keys: dict[str, jwt.PyJWK] = {}
        for number, key in enumerate(listed.get("keys") or ()):
            try:
                keys[key.get("kid") or f"#{number}"] = jwt.PyJWK(key)
            except (jwt.PyJWTError, AttributeError) as error:  # of a kind that we do not know, beside others
                _log.info("a key of the issuer is not used", issuer=self._issuer.url, error=str(error))
        if not keys:
            raise CannotFetch("the issuer publishes no usable key")
        return keys

    async def _get(self, url: str) -> dict[str, Any]:
        import aiohttp  # a server without issuers does not pay for it

        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as session,
                session.get(url, ssl=self._tls) as answer,
            ):
                if answer.status != 200:
                    raise CannotFetch(f"GET {url}: {answer.status} {answer.reason}")
                if (answer.content_length or 0) > ANSWER_LIMIT:
                    raise CannotFetch(f"GET {url}: the answer is larger than {ANSWER_LIMIT} bytes")
                document = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise CannotFetch(f"GET {url}: {error or type(error).__name__}") from error
        if not isinstance(document, dict):
            raise CannotFetch(f"GET {url}: the answer is no JSON object")
        return document


def _context(ca: bytes) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=ca.decode() if ca else None)
