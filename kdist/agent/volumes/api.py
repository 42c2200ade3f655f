"""The calls that volumes make of the API; :class:`kdist.client.rest.Client` has them all."""

from __future__ import annotations

from typing import Protocol

from kdist.api.kinds import Kind
from kdist.api.meta import Obj


class Api(Protocol):
    """Raises the ApiError tree."""

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Obj:
        """An object."""
        ...

    async def create(
        self,
        kind: Kind,
        obj: Obj,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        name: str | None = None,
    ) -> Obj:
        """Create an object, or a subresource of one."""
        ...
