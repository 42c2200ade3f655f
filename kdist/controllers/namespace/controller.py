"""Empties a namespace that is being deleted, whatever it holds, then lets go of it."""

from __future__ import annotations

from kdist.api import meta
from kdist.api.errors import ApiError, MethodNotAllowed, NotFound
from kdist.api.features import Features
from kdist.api.kinds import NAMESPACES, PODS
from kdist.api.meta import Obj
from kdist.client.rest import ObjList
from kdist.controllers.base import Controller
from kdist.controllers.discovery import Served, discover
from kdist.controllers.namespace import plan

# While something remains: how soon to look again.
RETRY_SECONDS = 5.0
# Deletion is asked for by collection; the server needs a moment to carry it out.
FIRST_RETRY_SECONDS = 0.5


class NamespaceController(Controller):
    """One key is one namespace."""

    name = "namespace-controller"
    workers = 10

    def setup(self) -> None:
        """Watch namespaces."""
        self._namespaces = self.watch(NAMESPACES, self.enqueue)
        self._tries: dict[str, int] = {}
        settings = self.settings
        features = Features.parse(settings.api_level, settings.feature_gates)
        self._pods_first = features("OrderedNamespaceDeletion")

    async def reconcile(self, key: str) -> float | None:
        """Delete all contents; finalize when none are left."""
        cached = self._namespaces.get(key)
        if cached is None or not meta.is_deleting(cached):
            self._tries.pop(key, None)
            return None
        try:
            namespace = await self.client.get(NAMESPACES, key)
        except NotFound:
            return None
        if meta.uid(namespace) != meta.uid(cached) or plan.is_finalized(namespace):
            return None
        remains = await self._delete_contents(namespace)
        status = plan.status(namespace, remains, meta.now())
        if status != namespace.get("status"):
            namespace = await self.client.update(
                NAMESPACES, {**namespace, "status": status}, subresource="status"
            )
        if remains.nothing:
            await self.client.update(NAMESPACES, plan.without_finalizer(namespace), subresource="finalize")
            return None
        self._tries[key] = tried = self._tries.get(key, 0) + 1
        patience = min(RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(tried, 8))
        return max(patience, remains.wait_seconds)

    async def _delete_contents(self, namespace: Obj) -> plan.Remains:
        remains = plan.Remains()
        catalog = await discover(self.client)
        remains.discovery_failures = catalog.failures
        for served in plan.order(catalog.resources):
            try:
                await self._delete_all(meta.name(namespace), served, remains)
            except (NotFound, MethodNotAllowed):
                continue  # the resource itself has just gone
            except ApiError as error:
                remains.content_failures.append(f"{served.kind.plural}: {error}")
            if self._pods_first and served.kind.path() == PODS.path() and not remains.nothing:
                break  # what protects pods, such as network policies, outlives them
        return remains

    async def _delete_all(self, namespace: str, served: Served, remains: plan.Remains) -> None:
        kind = served.kind
        found = await self._list(served, namespace)
        if not found.items:
            return
        if "deletecollection" in served.verbs:
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
            await self.client.request("DELETE", kind.path(namespace), body=options)
        else:
            for obj in found.items:
                await self.client.delete(kind, meta.name(obj), namespace, propagation="Background")
        left = (await self._list(served, namespace)).items
        name = f"{kind.plural}.{kind.group}" if kind.group else f"{kind.plural}."
        if left:
            remains.counts[name] += len(left)
        for obj in left:
            remains.finalizers.update(obj["metadata"].get("finalizers") or ())
            if (kind.group, kind.plural) == (PODS.group, PODS.plural):
                grace = meta.get(obj, "metadata.deletionGracePeriodSeconds", 0)
                remains.wait_seconds = max(remains.wait_seconds, min(float(grace), RETRY_SECONDS))

    async def _list(self, served: Served, namespace: str) -> ObjList:
        return await self.client.list(served.kind, namespace, metadata_only=True)
