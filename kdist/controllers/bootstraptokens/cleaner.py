"""Deletes bootstrap tokens that have expired."""

from __future__ import annotations

from datetime import UTC, datetime

from kdist.api import meta
from kdist.api.errors import Conflict, NotFound
from kdist.api.kinds import SECRETS
from kdist.controllers.base import Controller
from kdist.controllers.bootstraptokens import token as tokens


class TokenCleaner(Controller):
    """One key is one Secret."""

    name = "token-cleaner-controller"
    on_by_default = False
    workers = 1

    def setup(self) -> None:
        """Watch the tokens."""
        self._secrets = self.watch(
            SECRETS, self.enqueue, namespace="kube-system", field_selector=f"type={tokens.TYPE}"
        )

    async def reconcile(self, key: str) -> float | None:
        """Delete the token when it has expired; else look again then."""
        secret = self._secrets.get(key)
        token = tokens.read(secret) if secret is not None else None
        if secret is None or token is None or meta.is_deleting(secret):
            return None
        now = datetime.now(UTC)
        if not token.is_expired(now):
            return (token.expires - now).total_seconds() + 1 if token.expires is not None else None
        try:
            await self.client.delete(SECRETS, meta.name(secret), meta.namespace(secret), uid=meta.uid(secret))
        except (Conflict, NotFound):
            return None
        return None
