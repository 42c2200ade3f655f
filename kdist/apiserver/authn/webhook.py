"""Users by the word of a webhook: it gets a TokenReview and answers with the user.

Answers are kept for a while, refusals too; a webhook that does not answer refuses nobody for longer than it is
silent.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from kdist.api.errors import ApiError, Unauthorized
from kdist.apiserver.authn.tokens import CACHE_SIZE, Verified
from kdist.apiserver.authn.user import User
from kdist.client.rest import Client, Unreachable
from kdist.telemetry import log

_log = log.get(__name__)
TIMEOUT = 30.0
ATTEMPTS, FIRST_PAUSE = 5, 0.5  # tries, and seconds before the second one; each pause is 1.5 times the last


class WebhookTokens:
    """Asks a webhook. ``client`` is opened at the first question; ``own`` are this API's audiences."""

    def __init__(
        self,
        client: Client,
        *,
        version: str,
        ttl: float,
        own: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._version, self._ttl, self._clock = client, version, ttl, clock
        self._own = tuple(own)
        self._opened = False
        self._seen: OrderedDict[tuple[bytes, tuple[str, ...]], tuple[float, Verified | None]] = OrderedDict()

    async def verify(self, token: str, audiences: Sequence[str] | None = None) -> Verified | None:
        """The token's user, None when the webhook does not know it; Unauthorized when it cannot be asked."""
        wanted = tuple(audiences) if audiences is not None else self._own
        key = (hashlib.sha256(token.encode()).digest(), wanted)
        until, verified = self._seen.get(key, (float("-inf"), None))
        if until >= self._clock():
            return verified
        verified = self._read(await self._ask(token, wanted), wanted)
        self._seen[key] = (self._clock() + self._ttl, verified)
        self._seen.move_to_end(key)
        if len(self._seen) > CACHE_SIZE:
            self._seen.popitem(last=False)
        return verified

    async def _ask(self, token: str, audiences: tuple[str, ...]) -> dict[str, Any]:
        if not self._opened:
            self._opened = True
            await self._client.__aenter__()
        review = {
            "apiVersion": f"authentication.k8s.io/{self._version}",
            "kind": "TokenReview",
            "metadata": {"creationTimestamp": None},
            "spec": {"token": token, "audiences": list(audiences)},
        }
        pause = FIRST_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with asyncio.timeout(TIMEOUT):
                    answer = await self._client.request("POST", "", body=review)
                break
            except (ApiError, Unreachable, TimeoutError) as error:
                told = str(error) or type(error).__name__
                refused = isinstance(error, ApiError) and error.code < 500 and error.code != 429
                if refused or attempt == ATTEMPTS:
                    _log.error("the authentication webhook failed", error=told)
                    raise Unauthorized(f"webhook: {told}") from error
                await asyncio.sleep(pause)
                pause *= 1.5
        status = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(status, dict):
            raise Unauthorized("webhook: the answer is no TokenReview")
        return status

    def _read(self, status: dict[str, Any], wanted: tuple[str, ...]) -> Verified | None:
        if not status.get("authenticated"):
            if status.get("error"):
                raise Unauthorized(f"webhook: {status['error']}")
            return None
        told = status.get("audiences") or self._own
        shared = tuple(a for a in told if a in wanted)
        if not shared:
            return None
        info = status.get("user") or {}
        user = User(
            info.get("username", ""),
            uid=info.get("uid", ""),
            groups=tuple(info.get("groups") or ()),
            extra={key: tuple(values) for key, values in (info.get("extra") or {}).items()},
        )
        return Verified(user.authenticated(), shared)

    async def close(self) -> None:
        """Let go of connections."""
        if self._opened:
            await self._client.__aexit__(None, None, None)
