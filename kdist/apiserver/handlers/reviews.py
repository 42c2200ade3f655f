"""Resources that are questions: created, answered, never stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kdist.api.meta import Obj
from kdist.apiserver import managedfields, objectmeta
from kdist.apiserver.authn import reviews as authentication
from kdist.apiserver.authz import reviews as authorization
from kdist.apiserver.call import Call


async def token_review(call: Call) -> None:
    """Whose token is this?"""
    review = await authentication.token_review(call.core.authenticator, await _question(call))
    await call.reply_review(review)


async def self_subject_review(call: Call) -> None:
    """Who am I?"""
    await call.reply_review(authentication.self_subject_review(call.user, await _question(call)))


async def subject_access_review(call: Call) -> None:
    """May they?"""
    review = await _question(call)
    await call.reply_review(await _settled(call, authorization.subject_access_review, review))


async def local_subject_access_review(call: Call) -> None:
    """May they, in this namespace?"""
    review = await _question(call)
    answer = await _settled(call, authorization.local_subject_access_review, review, call.namespace)
    await call.reply_review(answer)


async def self_subject_access_review(call: Call) -> None:
    """May I?"""
    review = await _question(call)
    await call.reply_review(await _settled(call, authorization.self_subject_access_review, call.user, review))


async def self_subject_rules_review(call: Call) -> None:
    """What may I, in this namespace?"""
    review = await _question(call)
    await call.reply_review(authorization.self_subject_rules_review(call.core.authorizer, call.user, review))


async def _question(call: Call) -> Obj:
    """The review as it was asked; upstream records whose words these are, as for any object."""
    review = await call.read_object()
    schema = call.core.scheme.schema(call.resource.api_version, call.resource.kind)
    assert schema is not None  # or the review could not be read
    managedfields.track_create(review, schema, call.manager(), has_status=True)
    return review


async def _settled(call: Call, review: Callable[..., Obj], *args: Any) -> Obj:
    """A review that may have to ask a webhook first."""
    authorizer = call.core.authorizer
    return await authorizer.settle(review, authorizer, *args)


async def token_request(call: Call) -> None:
    """A token for a service account (the ``token`` subresource)."""
    request = await call.read_kind("authentication.k8s.io/v1", "TokenRequest")
    objectmeta.check_place(request, call.namespace)
    await call.reply_review(await call.core.token_issuer.issue(call.namespace, call.name, request))
