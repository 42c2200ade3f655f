"""Every namespace that is not going away has a ServiceAccount called default."""

from __future__ import annotations

from kdist.api import meta
from kdist.api.errors import AlreadyExists, ApiError, NotFound
from kdist.api.kinds import NAMESPACES, SERVICE_ACCOUNTS
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.ownership import is_terminating_namespace

DEFAULT = "default"


class ServiceAccountController(Controller):
    """One key is one namespace."""

    name = "serviceaccount-controller"

    def setup(self) -> None:
        """Watch namespaces, and accounts for one that was deleted."""
        self._namespaces = self.watch(NAMESPACES, self.enqueue)
        self._accounts = self.watch(SERVICE_ACCOUNTS, self._account_changed, metadata_only=True)

    def _account_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None and meta.name(old) == DEFAULT:
            self.queue.add(meta.namespace(old))

    async def reconcile(self, key: str) -> float | None:
        """Create the account where it is missing."""
        namespace = self._namespaces.get(key)
        if namespace is None or meta.is_deleting(namespace) or self._accounts.get(f"{key}/{DEFAULT}"):
            return None
        account = {"metadata": {"name": DEFAULT, "namespace": key}}
        try:
            await self.client.create(SERVICE_ACCOUNTS, account)
        except (AlreadyExists, NotFound):
            return None
        except ApiError as error:
            if not is_terminating_namespace(error):
                raise
        return None
