"""Service-account tokens for pods: asked of the API, bound to the pod, renewed before they run out."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kdist.api import meta
from kdist.api.kinds import SERVICE_ACCOUNTS, Kind
from kdist.api.meta import Obj

DEFAULT_SECONDS = 3600
# A token is renewed at 80% of its life, and once a day however long it lives.
_RENEW_AT = 0.8
_RENEW_AFTER = 24 * 3600.0
# The hosts of a cluster start together; their tokens need not be renewed together.
_JITTER = 10.0


class Creator(Protocol):
    """The one call that this module makes of the API."""

    async def create(
        self,
        kind: Kind,
        obj: Obj,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        name: str | None = None,
    ) -> Obj:
        """Create an object or a subresource of one. Raises the ApiError tree."""
        ...


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    expires: str
    renew: float


class Tokens:
    """Tokens by pod, service account, audiences and lifetime."""

    def __init__(self, client: Creator, *, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._clock = clock
        self._tokens: dict[tuple[Any, ...], _Token] = {}

    async def token(self, pod: Obj, audiences: Sequence[str] = (), seconds: int | None = None) -> str:
        """A token of the pod's service account that is good for a while yet."""
        return (await self._get(pod, tuple(audiences), seconds or DEFAULT_SECONDS)).value

    async def status(self, pod: Obj, audience: str, seconds: int | None) -> Obj:
        """``{"token", "expirationTimestamp"}``, as CSI drivers get it."""
        held = await self._get(pod, (audience,) if audience else (), seconds or DEFAULT_SECONDS)
        return {"token": held.value, "expirationTimestamp": held.expires}

    def forget(self, pod_uid: str) -> None:
        """Drop the tokens of a pod that is gone."""
        for key in [k for k in self._tokens if k[0] == pod_uid]:
            del self._tokens[key]

    async def _get(self, pod: Obj, audiences: tuple[str, ...], seconds: int) -> _Token:
        account = (pod.get("spec") or {}).get("serviceAccountName") or "default"
        key = (meta.uid(pod), account, audiences, seconds)
        held = self._tokens.get(key)
        if held is None or self._clock() >= held.renew:
            held = self._tokens[key] = await self._request(pod, account, audiences, seconds)
        return held

    async def _request(self, pod: Obj, account: str, audiences: tuple[str, ...], seconds: int) -> _Token:
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta.name(pod), "uid": meta.uid(pod)}
        spec: Obj = {"expirationSeconds": seconds, "boundObjectRef": bound}
        if audiences:
            spec["audiences"] = list(audiences)
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = await self._client.create(
            SERVICE_ACCOUNTS, request, meta.namespace(pod), subresource="token", name=account
        )
        now = self._clock()
        expires = answer["status"]["expirationTimestamp"]
        # The server may have granted another lifetime than was asked for.
        lifetime = meta.parse_time(expires).timestamp() - now
        renew = now + min(lifetime * _RENEW_AT, _RENEW_AFTER) - random.uniform(0, min(_JITTER, lifetime / 20))
        return _Token(answer["status"]["token"], expires, renew)
