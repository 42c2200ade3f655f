"""What authentication, authorization, admission and bootstrap ask of the server's core.

The core implements both protocols: :class:`Reader` on the watch caches and :class:`Writer` on the registry
itself, below authentication and admission. Tests implement them with a dict.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from kdist.api.kinds import Kind

Obj = dict[str, Any]
# (namespace or "", name, the object now or None when it is gone)
Changed = Callable[[str, str, Obj | None], None]

# The ASGI scope carries the peer's certificate as ``scope["extensions"]["tls"]["client_cert"]`` (DER bytes).
# The TLS layer accepts what either client CA signed; which of the two it was is checked in authn.
CLIENT_CERT = "client_cert"


class Reader(Protocol):
    """Reads from the watch caches: in memory, at most a few milliseconds behind."""

    def get(self, kind: Kind, namespace: str | None, name: str) -> Obj | None:
        """A copy of one object, or None."""

    def list(self, kind: Kind, namespace: str | None = None) -> list[Obj]:
        """Copies of a kind's objects, of all namespaces when None."""

    def on_change(self, kind: Kind, callback: Changed) -> None:
        """Call back for every object there is, then for every change, in the cache's order."""


class Writer(Protocol):
    """Reads and writes of the registry for the server's own sake. Raises the ApiError tree."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Obj:
        """The object as storage has it now. NotFound when there is none."""

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        """Default, validate and store an object. AlreadyExists when there is one."""

    async def update(self, kind: Kind, obj: Obj, *, subresource: str | None = None) -> Obj:
        """Compare and swap on the object's resourceVersion. Conflict when it is not the newest."""
