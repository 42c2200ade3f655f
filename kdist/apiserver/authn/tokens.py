"""Service-account tokens: claims, issue, verification.

A token is bound: it dies with its service account and, where it names one, with its pod, secret or node. The
signature of a token is checked once and kept; that what it is bound to still exists is checked every time.
"""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jwt

from kdist.api import meta
from kdist.api.errors import Unauthorized
from kdist.api.kinds import NODES, PODS, SECRETS, SERVICE_ACCOUNTS, Kind
from kdist.apiserver.authn.keys import KeySet, algorithm, unverified
from kdist.apiserver.authn.user import User, service_account_user, split_service_account
from kdist.apiserver.ports import Obj, Reader

PRIVATE_CLAIM = "kubernetes.io"
CACHE_SIZE = 8192
# Tokens of objects being deleted stay good a little longer than the deletion's own deadline.
DELETION_LEEWAY = 60.0
# The life time that volume projection asks for; such tokens are signed for a year, because clients that
# never re-read their file must not break, and warn after the time that was asked for.
WARN_AFTER_SECONDS = 3607
EXTENDED_SECONDS = 365 * 24 * 3600
_BOUND: dict[str, Kind] = {"pod": PODS, "secret": SECRETS, "node": NODES}


@dataclass(frozen=True, slots=True)
class Verified:
    """A token that holds: its user and the audiences it was made for."""

    user: User
    audiences: tuple[str, ...]


def claims_for(
    account: Obj,
    *,
    issuer: str,
    audiences: Sequence[str],
    seconds: int,
    now: float,
    bound: dict[str, Obj] | None = None,
    warn_after: int | None = None,
) -> Obj:
    """The claims of a new token; ``bound`` maps pod, secret, node to the objects it dies with."""
    namespace, name = meta.namespace(account), meta.name(account)
    private: dict[str, Any] = {"namespace": namespace, "serviceaccount": _ref(account)}
    private |= {key: _ref(obj) for key, obj in (bound or {}).items()}
    if warn_after is not None:
        private["warnafter"] = int(now) + warn_after
    return {
        "iss": issuer,
        "sub": f"system:serviceaccount:{namespace}:{name}",
        "aud": list(audiences),
        "iat": int(now),
        "nbf": int(now),
        "exp": int(now) + seconds,
        "jti": str(uuid.uuid4()),
        PRIVATE_CLAIM: private,
    }


def _ref(obj: Obj) -> dict[str, str]:
    return {"name": meta.name(obj), "uid": meta.uid(obj)}


class TokenVerifier:
    """Says whose a service-account token is."""

    def __init__(
        self,
        keys: KeySet,
        reader: Reader,
        *,
        issuers: Iterable[str],
        audiences: Sequence[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys, self._reader, self._clock = keys, reader, clock
        self._issuers = frozenset(issuers)
        self.audiences = tuple(audiences)
        self._seen: OrderedDict[str, Obj] = OrderedDict()
        self._seen_by = keys.public

    def verify(self, token: str, audiences: Sequence[str] | None = None) -> Verified | None:
        """The token's user, None when it is not one of ours at all; Unauthorized when it does not hold.

        ``audiences`` defaults to the server's own; the answer's audiences are those both sides name.
        """
        if self._seen_by is not self._keys.public:  # a signature may have lost its worth
            self._seen.clear()
            self._seen_by = self._keys.public
        claims = self._seen.get(token)
        if claims is None:
            claims = self._decode(token)
            if claims is None:
                return None
            self._remember(token, claims)
        now = self._clock()
        if not claims["nbf"] <= now + DELETION_LEEWAY or now >= claims["exp"]:
            raise Unauthorized("service account token has expired")
        wanted = self.audiences if audiences is None else audiences
        shared = tuple(a for a in claims["aud"] if a in wanted)
        if not shared:
            raise Unauthorized(
                f"token audiences {_quoted(claims['aud'])} is invalid for the target audiences {_quoted(wanted)}"
            )
        return Verified(self._user(claims), shared)

    def _remember(self, token: str, claims: Obj) -> None:
        self._seen[token] = claims
        if len(self._seen) > CACHE_SIZE:
            self._seen.popitem(last=False)

    def _decode(self, token: str) -> Obj | None:
        told = unverified(token)
        if told is None:
            return None
        header, loose = told
        if loose.get("iss") not in self._issuers:
            return None
        for key in self._keys.candidates(header.get("kid")):
            try:
                claims: Obj = jwt.decode(
                    token,
                    key,
                    algorithms=[algorithm(key)],
                    options={"verify_aud": False, "verify_exp": False, "verify_nbf": False,
                             "verify_iat": False, "require": ["exp", "nbf", "sub", "aud"]},
                )  # fmt: skip
            except jwt.InvalidTokenError:
                continue
            claims["aud"] = [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"]
            return claims
        raise Unauthorized("service account token has an invalid signature")

    def _user(self, claims: Obj) -> User:
        private = claims.get(PRIVATE_CLAIM) or {}
        account = private.get("serviceaccount") or {}
        namespace = private.get("namespace", "")
        if split_service_account(claims["sub"]) != (namespace, account.get("name")):
            raise Unauthorized("service account token's subject and private claims differ")
        self._must_exist(SERVICE_ACCOUNTS, namespace, account)
        for key, kind in _BOUND.items():
            # A pod's token names the node besides for information: it dies with the pod, not with the node.
            if key in private and not (key == "node" and "pod" in private):
                self._must_exist(kind, namespace if kind.namespaced else None, private[key])
        user = service_account_user(namespace, account["name"], account["uid"])
        return replace(user, extra=_extra(claims, private))

    def _must_exist(self, kind: Kind, namespace: str | None, ref: dict[str, str]) -> None:
        obj = self._reader.get(kind, namespace, ref.get("name", ""))
        if obj is None or meta.uid(obj) != ref.get("uid"):
            raise Unauthorized(f"service account token has been invalidated: its {kind.kind} is gone")
        deleted = obj["metadata"].get("deletionTimestamp")
        if deleted and self._clock() > meta.parse_time(deleted).timestamp() + DELETION_LEEWAY:
            raise Unauthorized(f"service account token has been invalidated: its {kind.kind} was deleted")


def _quoted(texts: Iterable[str]) -> str:
    return "[" + " ".join(f'"{text}"' for text in texts) + "]"


def _extra(claims: Obj, private: Obj) -> dict[str, tuple[str, ...]]:
    prefix = "authentication.kubernetes.io/"
    extra: dict[str, tuple[str, ...]] = {}
    if claims.get("jti"):
        extra[prefix + "credential-id"] = (f"JTI={claims['jti']}",)
    for key in ("node", "pod"):
        if key in private:
            extra[f"{prefix}{key}-name"] = (private[key]["name"],)
            extra[f"{prefix}{key}-uid"] = (private[key]["uid"],)
    return extra
