"""ServiceCIDRs at work, from API level 1.33 on: the default one, the conditions of all, the addresses in use.

Upstream spreads this over the API server and the controller manager. Here every API server does it, each time the same
way: what another one did just before is a conflict that the next round does not see any more.

A ServiceCIDR keeps its finalizer until no address lies in it alone, and a little longer: other servers may not know
yet that it goes. The last part of a round compares IPAddresses with Services, for those that a server of an earlier
level wrote.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from kdist.api import meta
from kdist.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kdist.api.kinds import SERVICES, Kind
from kdist.api.meta import Obj
from kdist.apiserver.allocators import ServiceAllocator, addresses
from kdist.apiserver.allocators.ranges import AddressRange, Network
from kdist.apiserver.core import Core
from kdist.apiserver.ports import Reader, Writer
from kdist.apiserver.registry import services as rules
from kdist.storage.interface import Mismatch, StorageError
from kdist.telemetry import log

SERVICE_CIDRS = Kind("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", namespaced=False)
IP_ADDRESSES = Kind("networking.k8s.io", "v1", "ipaddresses", "IPAddress", namespaced=False)
DEFAULT = "kubernetes"
FINALIZER = "networking.k8s.io/service-cidr-finalizer"
INTERVAL = 60.0  # seconds between rounds without a reason
SETTLING = 10.0  # seconds after which every server knows that a ServiceCIDR goes
GRACE = 60.0  # seconds that an address may be without its Service
_READY = {True: "Kubernetes Service CIDR is ready", False: "Kubernetes default Service CIDR is ready"}
_IN_USE = (
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
)
_log = log.get(__name__)


class ServiceRanges:
    """Follows ServiceCIDRs and tells the allocator of them; ``follow`` before the reader starts."""

    def __init__(self, core: Core, reader: Reader, writer: Writer) -> None:
        self._core, self._reader, self._writer = core, reader, writer
        self._allocator: ServiceAllocator | None = None
        self._known: dict[str, Obj] = {}
        self._wake = asyncio.Event()

    def follow(self) -> None:
        """Hear of every ServiceCIDR and address."""
        self._reader.on_change(SERVICE_CIDRS, self._changed)
        self._reader.on_change(IP_ADDRESSES, lambda *_: None)  # loads them

    def _changed(self, _: str, name: str, obj: Obj | None) -> None:
        if obj is None:
            self._known.pop(name, None)
        else:
            self._known[name] = obj
        self._tell()
        self._wake.set()

    def _tell(self) -> None:
        if self._allocator is not None:
            self._allocator.use(usable(self._known.values()))

    async def run(self, allocator: ServiceAllocator) -> None:
        """Rounds until cancelled: after changes, and now and then."""
        self._allocator = allocator
        self._tell()
        while True:
            wait = INTERVAL
            try:
                wait = await self.reconcile()
            except (ApiError, StorageError, Mismatch) as error:
                _log.warning("cannot look after ServiceCIDRs now", error=str(error))
                wait = 1.0
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), wait)

    async def reconcile(self) -> float:
        """One round; the seconds after which the next one is due."""
        if DEFAULT not in self._known:
            cidrs = list(self._core.settings.service_cluster_ip_range)
            obj = {"metadata": {"name": DEFAULT, "finalizers": [FINALIZER]}, "spec": {"cidrs": cidrs}}
            with contextlib.suppress(AlreadyExists):
                await self._writer.create(SERVICE_CIDRS, obj)
        wait = INTERVAL
        for obj in list(self._known.values()):
            with contextlib.suppress(Conflict, NotFound):
                wait = min(wait, await self._settle(obj))
        await self._compare()
        return wait

    async def _settle(self, obj: Obj) -> float:
        finalizers = obj["metadata"].get("finalizers") or []
        if not meta.is_deleting(obj):
            if FINALIZER not in finalizers:
                obj["metadata"]["finalizers"] = [*finalizers, FINALIZER]
                obj = await self._writer.update(SERVICE_CIDRS, obj)
            await self._condition(obj, "True", "", _READY[meta.name(obj) != DEFAULT])
            return INTERVAL
        if FINALIZER not in finalizers:
            return INTERVAL
        if in_use(obj, self._known.values(), self._addresses()):
            await self._condition(obj, "False", "Terminating", _IN_USE)
            return 1.0
        begun = meta.parse_time(obj["metadata"]["deletionTimestamp"])
        left = SETTLING - (datetime.now(UTC) - begun).total_seconds()
        if left > 0:
            return left
        obj["metadata"]["finalizers"] = [f for f in finalizers if f != FINALIZER]
        await self._writer.update(SERVICE_CIDRS, obj)
        return INTERVAL

    async def _condition(self, obj: Obj, state: str, reason: str, message: str) -> None:
        conditions = meta.get(obj, "status.conditions", [])
        present: Obj = next((c for c in conditions if c["type"] == "Ready"), {})
        if (present.get("status"), present.get("reason", "")) == (state, reason):
            return
        condition = {
            "type": "Ready",
            "status": state,
            "reason": reason,
            "message": message,
            "lastTransitionTime": meta.now(),
        }
        others = [c for c in conditions if c["type"] != "Ready"]
        status = {"conditions": [*others, condition]}
        await self._writer.update(SERVICE_CIDRS, {**obj, "status": status}, subresource="status")

    def _addresses(self) -> list[str]:
        return [
            meta.name(obj)
            for obj in self._reader.list(IP_ADDRESSES)
            if meta.labels(obj).get(addresses.MANAGED_BY) == addresses.MANAGER
        ]

    async def _compare(self) -> None:
        """Every address of a Service has its object; those of Services that are gone go."""
        held = {a: s for s in self._reader.list(SERVICES) for a in rules.cluster_ips(s)}
        for address, service in held.items():
            if self._reader.get(IP_ADDRESSES, None, address) is None:
                with contextlib.suppress(AlreadyExists):
                    await self._writer.create(IP_ADDRESSES, addresses.address_object(address, service))
        now = datetime.now(UTC)
        for obj in self._reader.list(IP_ADDRESSES):
            age = (now - meta.parse_time(obj["metadata"]["creationTimestamp"])).total_seconds()
            ours = meta.labels(obj).get(addresses.MANAGED_BY) == addresses.MANAGER
            if ours and meta.name(obj) not in held and age > GRACE:
                at = addresses.key(meta.name(obj))
                await self._core.storage.commit({at: int(obj["metadata"]["resourceVersion"])}, deletes=[at])


def _networks(obj: Obj) -> Iterator[Network]:
    for cidr in meta.get(obj, "spec.cidrs", []):
        yield ipaddress.ip_network(cidr)


def usable(known: Iterable[Obj]) -> list[AddressRange]:
    """The ranges of ServiceCIDRs that are ready, besides the default one. Pure."""
    found = []
    for obj in known:
        ready = any(
            c["type"] == "Ready" and c["status"] == "True" for c in meta.get(obj, "status.conditions", [])
        )
        if meta.name(obj) == DEFAULT or meta.is_deleting(obj) or not ready:
            continue
        for network in _networks(obj):
            if network.num_addresses >= 4:
                found.append(AddressRange(network))
    return found


def in_use(going: Obj, known: Iterable[Obj], taken: list[str]) -> bool:
    """Whether an address lies in a ServiceCIDR and in no other one that stays. Pure."""
    staying = [
        network
        for obj in known
        if meta.name(obj) != meta.name(going) and not meta.is_deleting(obj)
        for network in _networks(obj)
    ]

    def within(address: str, networks: list[Network]) -> bool:
        ip = ipaddress.ip_address(address)
        return any(ip.version == network.version and ip in network for network in networks)

    mine = list(_networks(going))
    return any(within(address, mine) and not within(address, staying) for address in taken)
