"""Users by the word of a front proxy (an aggregating API server): X-Remote-User, -Group, -Extra-*."""

from __future__ import annotations

from collections.abc import Sequence

from kdist.apiserver.authn import headers as http
from kdist.apiserver.authn.certificates import Authority, peer_certificate
from kdist.apiserver.authn.user import User


class FrontProxy:
    """Believes the headers only of clients whose certificate the front-proxy CA issued.

    ``allowed_names`` are the common names that may speak for others; empty means any of that CA.
    """

    def __init__(self, authority: Authority, allowed_names: Sequence[str] = ()) -> None:
        self._authority = authority
        self._allowed = frozenset(allowed_names)

    def authenticate(self, scope: http.Scope, headers: http.Headers) -> User | None:
        """The user the proxy names, or None when this is no front proxy or it names nobody."""
        name = http.first(headers, b"x-remote-user")
        certificate = peer_certificate(scope)
        if not name or certificate is None:
            return None
        proxy = self._authority.user(certificate)
        if proxy is None or (self._allowed and proxy.name not in self._allowed):
            return None
        return User(
            name,
            uid=http.first(headers, b"x-remote-uid"),
            groups=tuple(http.values(headers, b"x-remote-group")),
            extra=http.extras(headers, b"x-remote-extra-"),
        )
