"""Writes of roles and bindings grant nothing that the writer does not hold."""

from __future__ import annotations

from kdist.apiserver.admission.base import Plugin, Request, targets
from kdist.apiserver.authz.authorizer import Authorizer
from kdist.apiserver.authz.escalation import GROUP, check_binding, check_role

_ROLES = ("roles", "clusterroles")


class RBACEscalation(Plugin):
    """Not a plug-in upstream (its registry does this); the place in the chain is the same for the user."""

    targets = targets(*_ROLES, "rolebindings", "clusterrolebindings", group=GROUP)

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def validate(self, request: Request) -> None:
        """Forbidden when the writer grants more than they hold."""
        plural = request.resource.plural
        check = check_role if plural in _ROLES else check_binding
        await self._authorizer.settle(
            check, self._authorizer, request.user, plural, request.body, request.old
        )
