"""Mirrors Endpoints that users wrote for Services without a selector into EndpointSlices."""

from __future__ import annotations

from collections.abc import Iterable

from kdist.api import meta
from kdist.api.errors import ApiError, Conflict
from kdist.api.kinds import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.endpoints import slices
from kdist.controllers.endpoints.plan import Port
from kdist.controllers.endpoints.slices import Changes, Group, Origin
from kdist.controllers.endpoints.writer import BEHIND_SECONDS, SliceWriter
from kdist.controllers.ownership import is_terminating_namespace

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"  # a lock, no endpoints
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def is_mirrored(service: Obj | None, endpoints: Obj | None) -> bool:
    """Whether somebody else keeps these Endpoints, and means them for the Service."""
    if service is None or endpoints is None or meta.is_deleting(endpoints):
        return False
    if meta.labels(endpoints).get(SKIP) == "true" or _LEADER in meta.annotations(endpoints):
        return False
    return not meta.get(service, "spec.selector")


def origin(endpoints: Obj) -> Origin:
    """What slices take over from Endpoints: owner, labels, annotations."""
    notes = {k: v for k, v in meta.annotations(endpoints).items() if k != _LAST_APPLIED}
    return Origin(
        meta.namespace(endpoints),
        meta.name(endpoints),
        meta.owner_ref(endpoints, ENDPOINTS),
        MANAGER,
        meta.labels(endpoints),
        notes,
    )


def groups(endpoints: Obj) -> dict[Group, list[Obj]]:
    """The endpoints of all subsets, by family and ports."""
    wanted: dict[Group, list[Obj]] = {}
    for subset in endpoints.get("subsets") or ():
        ports = tuple(sorted(_ports(subset)))
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(field) or ():
                family = "IPv6" if ":" in address["ip"] else "IPv4"
                wanted.setdefault((family, ports), []).append(_endpoint(address, ready))
    return wanted


def _ports(subset: Obj) -> Iterable[Port]:
    for port in subset.get("ports") or ():
        name, protocol = port.get("name") or "", port.get("protocol") or "TCP"
        yield Port(name, port["port"], protocol, port.get("appProtocol") or "")


def _endpoint(address: Obj, ready: bool) -> Obj:
    made: Obj = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    made.update(
        {field: address[field] for field in ("hostname", "nodeName", "targetRef") if address.get(field)}
    )
    return made


class EndpointSliceMirroringController(Controller):
    """One key is one Endpoints object and the Service of its name."""

    name = "endpointslicemirroring-controller"
    component = "endpoint-slice-mirroring-controller"

    def setup(self) -> None:
        """Watch Endpoints, Services and the slices made here."""
        self._endpoints = self.watch(ENDPOINTS, self.enqueue)
        self._services = self.watch(SERVICES, self.enqueue)
        self._slices = SliceWriter(self.client, MANAGER, self.queue.add)
        self._slices.use(self.watch(ENDPOINT_SLICES, self._slices.changed, indexers=self._slices.indexers))

    async def reconcile(self, key: str) -> float | None:
        """Write what differs; what is not mirrored has no slices of ours."""
        service, endpoints = self._services.get(key), self._endpoints.get(key)
        if endpoints is None or not is_mirrored(service, endpoints):
            await self._slices.apply(key, Changes(delete=self._slices.of(key)))
            self._slices.forget(key)
            return None
        if self._slices.is_behind(key):
            return BEHIND_SECONDS
        changes = slices.reconcile(origin(endpoints), self._slices.of(key), groups(endpoints))
        try:
            await self._slices.apply(key, changes)
        except ApiError as error:
            if is_terminating_namespace(error):
                return None
            if not isinstance(error, Conflict):
                text = f"Error updating Endpoint Slices for Endpoints {key}: {error}"
                self.events.event(endpoints, "Warning", "FailedToUpdateEndpointSlices", text)
            raise
        return None
