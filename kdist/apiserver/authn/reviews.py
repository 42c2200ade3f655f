"""TokenReview and SelfSubjectReview: what others ask about who somebody is."""

from __future__ import annotations

from kdist.api import meta
from kdist.api.errors import BadRequest, Unauthorized
from kdist.apiserver.authn.authenticator import Authenticator
from kdist.apiserver.authn.user import User
from kdist.apiserver.ports import Obj


async def token_review(authenticator: Authenticator, review: Obj) -> Obj:
    """The TokenReview with its status. BadRequest when it has no token."""
    spec = review.get("spec") or {}
    token = spec.get("token") or ""
    if not token:
        raise BadRequest("token is required for TokenReview in authentication")
    return {
        **review,
        "metadata": {**(review.get("metadata") or {}), "creationTimestamp": None},
        "status": await _token_status(authenticator, token, spec),
    }


async def _token_status(authenticator: Authenticator, token: str, spec: Obj) -> Obj:
    try:
        verified = await authenticator.authenticate_token(token, spec.get("audiences") or None)
    except Unauthorized as error:
        return {"user": {}, "error": error.message}
    if verified is None:
        return {"user": {}, "error": "invalid bearer token"}
    return {
        "authenticated": True,
        "user": verified.user.as_info(),
        "audiences": list(verified.audiences),
    }


def self_subject_review(user: User, review: Obj) -> Obj:
    """The SelfSubjectReview with the asking user."""
    metadata = {**(review.get("metadata") or {}), "creationTimestamp": meta.now()}
    return {**review, "metadata": metadata, "status": {"userInfo": user.as_info()}}
