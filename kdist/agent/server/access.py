"""Who may ask this node what: authentication by certificate or token, authorization by the API server.

A verified client certificate names the user; a bearer token is shown to TokenReview. What the user may do is
asked by SubjectAccessReview on ``nodes/SUBRESOURCE`` of this node. Both answers are kept for a short while, so
that scrapes and streams do not become API requests one for one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from kdist.api.kinds import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS, Kind
from kdist.api.meta import Obj

# Seconds that answers are kept: upstream's defaults for kubelets.
TOKEN_SECONDS = 120.0
ALLOWED_SECONDS = 300.0
DENIED_SECONDS = 30.0
_KEPT = 1024

_VERBS = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
# First step of the path -> subresource of the node; everything else, streams among it, is "proxy".
_SUBRESOURCES = {"stats": "stats", "metrics": "metrics", "logs": "log", "spec": "spec"}


class AuthenticationFailed(Exception):
    """No certificate and no token that anybody vouches for."""


class Refused(Exception):
    """Known, but not allowed; the text says who and what."""


class Reviews(Protocol):
    """The one call that this module makes of the API."""

    async def create(self, kind: Kind, obj: Obj, namespace: str | None = None) -> Obj:
        """Create a review and return it with its status. Raises the ApiError tree."""
        ...


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated client."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is asked for: a verb on a subresource of the node."""

    verb: str
    subresource: str


def attributes(method: str, path: str) -> Attributes:
    """What a request has to be allowed to do. Pure."""
    first = path.lstrip("/").split("/", 1)[0]
    return Attributes(_VERBS.get(method, method.lower()), _SUBRESOURCES.get(first, "proxy"))


def from_certificate(peer: dict[str, Any] | None) -> User | None:
    """The user a verified peer certificate names (``ssl.SSLSocket.getpeercert()``), if there is one."""
    if not peer:
        return None
    parts = [pair for group in peer.get("subject", ()) for pair in group]
    names = [value for key, value in parts if key == "commonName"]
    groups = tuple(value for key, value in parts if key == "organizationName")
    return User(names[0], groups=(*groups, "system:authenticated")) if names else None


@dataclass(slots=True)
class _Kept:
    """Answers with the time at which each is to be asked for again."""

    answers: dict[Any, tuple[float, Any]] = field(default_factory=dict)

    def get(self, key: Any, now: float) -> Any:
        until, answer = self.answers.get(key, (0.0, None))
        return answer if now < until else None

    def put(self, key: Any, answer: Any, until: float) -> None:
        self.answers.pop(key, None)
        self.answers[key] = (until, answer)
        while len(self.answers) > _KEPT:
            self.answers.pop(next(iter(self.answers)))


class Access:
    """Authenticates and authorizes the requests to one node."""

    def __init__(
        self, reviews: Reviews, node_name: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reviews = reviews
        self._node_name = node_name
        self._clock = clock
        self._users = _Kept()
        self._decisions = _Kept()

    async def authenticate(self, peer: dict[str, Any] | None, authorization: str) -> User:
        """The client's user. Raises AuthenticationFailed and the ApiError tree."""
        user = from_certificate(peer)
        if user is not None:
            return user
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise AuthenticationFailed
        return await self._review_token(token.strip())

    async def _review_token(self, token: str) -> User:
        digest = hashlib.sha256(token.encode()).digest()  # tokens themselves are not kept
        known: User | None = self._users.get(digest, self._clock())
        if known is not None:
            return known
        answer = await self._reviews.create(TOKEN_REVIEWS, {"spec": {"token": token}})
        status = answer.get("status") or {}
        if not status.get("authenticated"):
            raise AuthenticationFailed
        told = status.get("user") or {}
        extra = tuple((k, tuple(v)) for k, v in sorted((told.get("extra") or {}).items()))
        user = User(told.get("username", ""), told.get("uid") or "", tuple(told.get("groups") or ()), extra)
        self._users.put(digest, user, self._clock() + TOKEN_SECONDS)
        return user

    async def authorize(self, user: User, wanted: Attributes) -> None:
        """Raises Refused, and the ApiError tree when nobody can be asked."""
        key = (user, wanted)
        allowed: bool | None = self._decisions.get(key, self._clock())
        if allowed is None:
            allowed = await self._review_access(user, wanted)
            kept = ALLOWED_SECONDS if allowed else DENIED_SECONDS
            self._decisions.put(key, allowed, self._clock() + kept)
        if not allowed:
            where = f"resource=nodes, subresource={wanted.subresource}"
            raise Refused(f"Forbidden (user={user.name}, verb={wanted.verb}, {where})")

    async def _review_access(self, user: User, wanted: Attributes) -> bool:
        spec: Obj = {
            "user": user.name,
            "uid": user.uid,
            "groups": list(user.groups),
            "extra": {k: list(v) for k, v in user.extra},
            "resourceAttributes": {
                "verb": wanted.verb,
                "version": "v1",
                "resource": "nodes",
                "subresource": wanted.subresource,
                "name": self._node_name,
            },
        }
        answer = await self._reviews.create(SUBJECT_ACCESS_REVIEWS, {"spec": spec})
        return bool((answer.get("status") or {}).get("allowed"))
