"""Reading and writing what is scaled, through its ``scale`` subresource: whatever has one can be scaled."""

from __future__ import annotations

from kdist.api.errors import NotFound
from kdist.api.kinds import DEPLOYMENTS, REPLICA_SETS, REPLICATION_CONTROLLERS, STATEFUL_SETS, Kind
from kdist.api.meta import Obj
from kdist.client.rest import Client
from kdist.controllers.discovery import discover

_USUAL = {
    (kind.group, kind.kind): kind
    for kind in (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, REPLICATION_CONTROLLERS)
}


class Scales:
    """Scale subresources by reference."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kinds = dict(_USUAL)

    async def find(self, ref: Obj) -> Kind:
        """The resource of a reference's kind. NotFound when nothing of that kind is served."""
        group = ref.get("apiVersion", "v1").rpartition("/")[0]
        at = (group, ref["kind"])
        if at not in self._kinds:
            served = (await discover(self._client)).resources
            self._kinds.update({(s.kind.group, s.kind.kind): s.kind for s in reversed(served)} | self._kinds)
        if at not in self._kinds:
            raise NotFound(f'no matches for kind "{ref["kind"]}" in group "{group}"')
        return self._kinds[at]

    async def read(self, namespace: str, ref: Obj) -> Obj:
        """The autoscaling/v1 Scale of an object."""
        kind = await self.find(ref)
        scale: Obj = await self._client.request("GET", kind.path(namespace, ref["name"], "scale"))
        return scale

    async def write(self, namespace: str, ref: Obj, scale: Obj, replicas: int) -> None:
        """Ask for so many replicas, if the object is still the one that was read. Raises Conflict."""
        kind = await self.find(ref)
        body = {**scale, "spec": {**(scale.get("spec") or {}), "replicas": replicas}}
        await self._client.request("PUT", kind.path(namespace, ref["name"], "scale"), body=body)
