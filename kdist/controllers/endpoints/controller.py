"""Keeps EndpointSlices and Endpoints equal to the pods that Services select."""

from __future__ import annotations

from kdist.api import meta, pods, selectors
from kdist.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kdist.api.kinds import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES
from kdist.api.meta import Obj
from kdist.client.informer import Informer
from kdist.controllers.base import Controller
from kdist.controllers.endpoints import plan, slices, subsets
from kdist.controllers.endpoints.writer import BEHIND_SECONDS, SliceWriter
from kdist.controllers.ownership import is_terminating_namespace


class _ServiceController(Controller):
    """One key is one Service; a pod's change brings in the Services that select it, before or after."""

    def setup(self) -> None:
        """Watch Services and pods."""
        self._services = self.watch(SERVICES, self.enqueue)
        self._pods = self.watch(PODS, self._pod_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and _seen_of(old) == _seen_of(new):
            return
        pod = new or old or {}
        states = [meta.labels(state) for state in (old, new) if state is not None]
        for service in self._services.list(meta.namespace(pod)):
            selector = meta.get(service, "spec.selector")
            if selector and any(selector.items() <= labels.items() for labels in states):
                self.queue.add(meta.key(service))

    def _members(self, service: Obj) -> list[Obj]:
        selector = selectors.from_labels(meta.get(service, "spec.selector"))
        return [p for p in self._pods.list(meta.namespace(service)) if selector.matches(meta.labels(p))]


def _seen_of(pod: Obj) -> tuple[object, ...]:
    """All that endpoints depend on."""
    status = pod.get("status") or {}
    return (
        meta.labels(pod),
        meta.is_deleting(pod),
        pod["spec"].get("nodeName"),
        status.get("podIPs"),
        status.get("phase"),
        pods.get_condition(pod, "Ready"),
    )


class EndpointSliceController(_ServiceController):
    """Writes EndpointSlices."""

    name = "endpointslice-controller"
    component = "endpoint-slice-controller"

    def setup(self) -> None:
        """Besides Services and pods: the slices, and the zones of nodes."""
        super().setup()
        self._slices = SliceWriter(self.client, slices.MANAGER, self.queue.add)
        self._slices.use(self.watch(ENDPOINT_SLICES, self._slices.changed, indexers=self._slices.indexers))
        self._nodes: Informer = self.watch(NODES)

    async def reconcile(self, key: str) -> float | None:
        """Write what differs."""
        service = self._services.get(key)
        if service is None:
            self._slices.forget(key)
            return None
        if not plan.is_selecting(service) or meta.is_deleting(service):
            return None
        if self._slices.is_behind(key):
            return BEHIND_SECONDS
        members = self._members(service)
        zones = {meta.name(n): meta.labels(n).get(slices.ZONE, "") for n in self._nodes.list()}
        origin = slices.of_service(service, plan.trigger_time(service, members))
        wanted = slices.groups(service, members, zones)
        try:
            await self._slices.apply(key, slices.reconcile(origin, self._slices.of(key), wanted))
        except ApiError as error:
            if is_terminating_namespace(error):
                return None
            if not isinstance(error, Conflict):
                text = f"Error updating Endpoint Slices for Service {key}: {error}"
                self.events.event(service, "Warning", "FailedToUpdateEndpointSlices", text)
            raise
        return None


class EndpointsController(_ServiceController):
    """Writes Endpoints."""

    name = "endpoints-controller"
    component = "endpoint-controller"

    def setup(self) -> None:
        """Besides Services and pods: the Endpoints."""
        super().setup()
        self._deleted_services: set[str] = set()
        self._services.add_handler(self._service_deleted)
        self._endpoints = self.watch(ENDPOINTS, self.enqueue)

    def _service_deleted(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            self._deleted_services.add(meta.key(old))

    async def reconcile(self, key: str) -> float | None:
        """Write the object if it differs; delete it with its Service."""
        service, existing = self._services.get(key), self._endpoints.get(key)
        if service is None:
            await self._remove(key, existing)
            return None
        if not plan.is_selecting(service):
            return None
        wanted = subsets.endpoints(service, self._members(service), existing)
        if wanted is None:
            return None
        try:
            if existing is None:
                await self.client.create(ENDPOINTS, wanted)
            else:
                await self.client.update(ENDPOINTS, wanted)
        except AlreadyExists as error:
            raise Conflict(str(error)) from error  # the cache was old
        except NotFound as error:
            raise Conflict(str(error)) from error
        except ApiError as error:
            if not is_terminating_namespace(error):
                raise
        return None

    async def _remove(self, key: str, existing: Obj | None) -> None:
        # Endpoints that never had a Service belong to a user or to a lock; ours carry a mark.
        deleted = key in self._deleted_services
        self._deleted_services.discard(key)
        if existing is None or not (deleted or plan.LAST_CHANGE in meta.annotations(existing)):
            return
        namespace, name = meta.split_key(key)
        try:
            await self.client.delete(ENDPOINTS, name, namespace, uid=meta.uid(existing))
        except NotFound:
            return
