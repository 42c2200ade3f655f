"""The Service ``kubernetes`` in ``default``, and its endpoints: the API servers that are alive.

Every server keeps a key with its address that expires by itself; whoever looks sees the same set, so any
number of servers can write the same Endpoints and EndpointSlice without a leader.
"""

from __future__ import annotations

import asyncio
import ipaddress

import orjson

from kdist.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kdist.api.kinds import ENDPOINT_SLICES, ENDPOINTS, SERVICES, Kind
from kdist.api.meta import Obj
from kdist.apiserver.ports import Writer
from kdist.storage.interface import KeyValue, Mismatch, Storage, StorageError, Write, guaranteed_update
from kdist.telemetry import log

_log = log.get(__name__)
LEASES = "/registry/masterleases/"
TTL = 15  # seconds without a sign of life after which a server is gone
INTERVAL = 10.0
NAME, NAMESPACE = "kubernetes", "default"


class Masters:
    """Keeps this server among the endpoints of ``default/kubernetes``."""

    def __init__(self, storage: Storage, writer: Writer, *, address: str, port: int, service_ip: str) -> None:
        self._storage, self._writer = storage, writer
        self._address, self._port, self._service_ip = address, port, service_ip

    async def run(self) -> None:
        """Reconcile now and then, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.try_reconcile()

    async def try_reconcile(self) -> None:
        """One round; a failure is logged and left to the next one."""
        try:
            await self.reconcile()
        except (StorageError, ApiError) as error:
            _log.warning("cannot publish this server", error=str(error))

    async def reconcile(self) -> None:
        """One round: sign of life, Service, endpoints. A loopback address is nobody's endpoint."""
        await self._ensure(SERVICES, _service(self._service_ip, self._port))
        if ipaddress.ip_address(self._address).is_loopback:
            return
        await self._sign_of_life()
        await self._publish()

    async def leave(self) -> None:
        """Take this server out of the endpoints at once."""
        current = await self._storage.get(LEASES + self._address)
        if current is not None:
            await self._storage.commit({current.key: current.revision}, deletes=[current.key])
            await self._publish()

    async def _sign_of_life(self) -> None:
        async def attempt(current: KeyValue | None, fresh: bool) -> Write:
            value = {"kind": "Master", "apiVersion": "kdist.io/v1", "metadata": {"name": self._address}}
            return Write(orjson.dumps(value), ttl=TTL)

        await guaranteed_update(self._storage, LEASES + self._address, attempt)

    async def _publish(self) -> None:
        page = await self._storage.list(LEASES)
        addresses = sorted(kv.key.removeprefix(LEASES) for kv in page.items)
        await self._ensure(ENDPOINTS, _endpoints(addresses, self._port))
        await self._ensure(ENDPOINT_SLICES, _endpoint_slice(addresses, self._port))

    async def _ensure(self, kind: Kind, wanted: Obj) -> None:
        """Create the object, or make the parts that are ours what they should be. ApiError, StorageError."""
        try:
            present = await self._writer.get(kind, NAMESPACE, NAME)
        except NotFound:
            try:
                await self._writer.create(kind, wanted)
            except (AlreadyExists, Mismatch):  # another server, just now
                return
            return
        ours = {k: v for k, v in wanted.items() if k in ("subsets", "endpoints", "ports")}
        if all(present.get(field, []) == value for field, value in ours.items()):
            return
        try:
            await self._writer.update(kind, {**present, **ours})
        except Conflict:  # the next round looks again
            return


def _metadata(**labels: str) -> Obj:
    return {"name": NAME, "namespace": NAMESPACE, "labels": labels}


def _service(service_ip: str, port: int) -> Obj:
    return {
        "metadata": _metadata(component="apiserver", provider="kubernetes"),
        "spec": {
            "clusterIP": service_ip,
            "clusterIPs": [service_ip],
            "type": "ClusterIP",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
    }


def _endpoints(addresses: list[str], port: int) -> Obj:
    subset = {
        "addresses": [{"ip": address} for address in addresses],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
    metadata = _metadata(**{"endpointslice.kubernetes.io/skip-mirror": "true"})
    return {"metadata": metadata, "subsets": [subset] if addresses else []}


def _endpoint_slice(addresses: list[str], port: int) -> Obj:
    return {
        "metadata": _metadata(**{"kubernetes.io/service-name": NAME}),
        "addressType": "IPv6" if addresses and ":" in addresses[0] else "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
