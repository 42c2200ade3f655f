"""Impersonate-User, -Group, -Uid, -Extra-*: act as somebody else, where RBAC lets the caller."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api.errors import BadRequest
from kdist.apiserver.authn import headers as http
from kdist.apiserver.authn.user import (
    ANONYMOUS_NAME,
    UNAUTHENTICATED,
    User,
    service_account_user,
    split_service_account,
)
from kdist.apiserver.authz.attributes import Attributes
from kdist.apiserver.authz.authorizer import Authorizer

_EXTRA = b"impersonate-extra-"
_AUTHENTICATION = "authentication.k8s.io"


def impersonate(authorizer: Authorizer, user: User, headers: http.Headers) -> User:
    """The user to act as: the caller, without such headers. Forbidden, BadRequest."""
    for name, _ in headers:
        if name.startswith(b"impersonate-"):
            return _impersonated(authorizer, user, list(headers))
    return user


def _impersonated(authorizer: Authorizer, user: User, headers: list[tuple[bytes, bytes]]) -> User:
    target = _requested(headers)
    for attributes in _permissions(user, target):
        authorizer.require(attributes)
    return _completed(target)


def _requested(headers: list[tuple[bytes, bytes]]) -> User:
    name = http.first(headers, b"impersonate-user")
    if not name:
        raise BadRequest("requested impersonation of groups, uid or extra without impersonating a user")
    return User(
        name,
        uid=http.first(headers, b"impersonate-uid"),
        groups=tuple(http.values(headers, b"impersonate-group")),
        extra=http.extras(headers, _EXTRA),
    )


def _permissions(user: User, target: User) -> Iterator[Attributes]:
    account = split_service_account(target.name)
    if account:
        yield Attributes(user, "impersonate", "", "v1", "serviceaccounts", "", *account)
    else:
        yield Attributes(user, "impersonate", "", "v1", "users", name=target.name)
    for group in target.groups:
        yield Attributes(user, "impersonate", "", "v1", "groups", name=group)
    if target.uid:
        yield Attributes(user, "impersonate", _AUTHENTICATION, "v1", "uids", name=target.uid)
    for key, values in target.extra.items():
        for value in values:
            yield Attributes(user, "impersonate", _AUTHENTICATION, "v1", "userextras", key, name=value)


def _completed(target: User) -> User:
    groups = target.groups
    account = split_service_account(target.name)
    if account and not groups:
        groups = service_account_user(*account).groups
    if target.name == ANONYMOUS_NAME and not groups:
        groups = (UNAUTHENTICATED,)
    return User(target.name, target.uid, groups, target.extra).authenticated()
