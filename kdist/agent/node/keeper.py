"""Keeps this host's Node in the API: registers it, brings its status up to date, renews its Lease."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from kdist.agent.cri import errors
from kdist.agent.cri.client import CriClient
from kdist.agent.node import status as statuses
from kdist.agent.pods.host import RuntimeHealth
from kdist.api import meta
from kdist.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kdist.api.kinds import LEASES, NODES
from kdist.api.meta import Obj
from kdist.client.rest import Client, Unreachable
from kdist.telemetry import log as telemetry

log = telemetry.get(__name__)

STATUS_SECONDS = 10.0
# An unchanged status is still told this often.
REPORT_SECONDS = 300.0
LEASE_SECONDS = 40
RENEW_SECONDS = 10.0
LEASE_NAMESPACE = "kube-node-lease"
RETRY_SECONDS = 1.0


class NodeKeeper:
    """One Node and its Lease."""

    def __init__(
        self,
        client: Client,
        cri: CriClient,
        spec: statuses.NodeSpec,
        health: RuntimeHealth,
        volumes_in_use: Callable[[], list[str]],
    ) -> None:
        self._client, self._cri, self._spec, self._health = client, cri, spec, health
        self._volumes_in_use = volumes_in_use
        self._node: Obj | None = None
        self._lease: Obj | None = None
        self._reported = 0.0
        self._changed = asyncio.Event()

    def node(self) -> Obj | None:
        """The registered Node as last seen; None before registration."""
        return self._node

    async def ask(self) -> Obj:
        """The Node as the API has it now; as last seen while the API does not answer."""
        try:
            self._node = await self._client.get(NODES, self._spec.name)
        except (ApiError, Unreachable) as error:
            log.warning("this node's object cannot be read", error=error)
        return self._node or {}

    def poke(self) -> None:
        """Something that the status shows has changed: tell it now."""
        self._changed.set()

    async def run(self) -> None:
        """Register, then keep status and Lease until cancelled."""
        await self._retried(self._register)
        log.info("node registered", node=self._spec.name)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_lease(), name="node-lease")
            group.create_task(self._keep_status(), name="node-status")

    async def _retried(self, step: Callable[[], object]) -> None:
        while True:
            try:
                await step()  # type: ignore[misc]  # an async method
                return
            except (ApiError, Unreachable) as error:
                log.warning("the API does not take this node yet", error=error)
                await asyncio.sleep(RETRY_SECONDS)

    # Registration.

    async def _register(self) -> None:
        status = await self._status({})
        try:
            self._node = await self._client.create(NODES, statuses.new_node(self._spec, status))
        except AlreadyExists:
            self._node = await self._take_over(await self._client.get(NODES, self._spec.name))

    async def _take_over(self, node: Obj) -> Obj:
        """Bring the labels of an earlier registration up to date; taints are the cluster's by now."""
        wanted = statuses.labels(self._spec)
        if all(meta.labels(node).get(k) == v for k, v in wanted.items()):
            return node
        return await self._client.patch(NODES, self._spec.name, {"metadata": {"labels": wanted}})

    # Status.

    async def _keep_status(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self._report()
            except (ApiError, Unreachable) as error:
                log.warning("node status cannot be told", error=error)
            try:
                async with asyncio.timeout(STATUS_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _report(self) -> None:
        self._node = await self._client.get(NODES, self._spec.name)
        old = self._node.get("status") or {}
        status = await self._status(old)
        mine = [c["type"] for c in status["conditions"]]
        shown = {k: old.get(k) for k in status}
        shown["conditions"] = [c for c in old.get("conditions") or () if c["type"] in mine]
        if statuses.same(shown, status) and time.monotonic() - self._reported < REPORT_SECONDS:
            return
        # Conditions merge by type; addresses would too, which would keep those that are gone.
        addresses = [*status["addresses"], {"$patch": "replace"}]
        body = {"status": {**status, "addresses": addresses}}
        self._node = await self._client.patch(
            NODES, self._spec.name, body, type="strategic", subresource="status"
        )
        self._reported = time.monotonic()

    async def _status(self, old: Obj) -> Obj:
        return statuses.build(
            self._spec, self._health, meta.now(), old, await self._images(), self._volumes_in_use()
        )

    async def _images(self) -> list[Obj]:
        try:
            images = await self._cri.images()
        except errors.CriError:
            return []  # The Ready condition tells that the runtime is down.
        images = sorted(images, key=lambda i: -i.size)[: statuses.MAX_IMAGES]
        return [{"names": [*i.repo_digests, *i.repo_tags][:5], "sizeBytes": i.size} for i in images]

    # Lease.

    async def _keep_lease(self) -> None:
        while True:
            try:
                await self._renew()
                pause = RENEW_SECONDS
            except (ApiError, Unreachable) as error:
                log.warning("node lease cannot be renewed", error=error)
                self._lease, pause = None, RETRY_SECONDS
            await asyncio.sleep(pause)

    async def _renew(self) -> None:
        if self._lease is None:
            self._lease = await self._find_lease()
        lease = {**self._lease, "spec": {**self._lease["spec"], "renewTime": meta.now_micro()}}
        try:
            self._lease = await self._client.update(LEASES, lease)
        except (Conflict, NotFound):
            self._lease = None
            raise

    async def _find_lease(self) -> Obj:
        try:
            return await self._client.get(LEASES, self._spec.name, LEASE_NAMESPACE)
        except NotFound:
            return await self._client.create(LEASES, self._new_lease())

    def _new_lease(self) -> Obj:
        metadata: Obj = {"name": self._spec.name, "namespace": LEASE_NAMESPACE}
        if self._node is not None:
            owner = meta.owner_ref(self._node, NODES, controller=False)
            metadata["ownerReferences"] = [owner]
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._spec.name,
                "leaseDurationSeconds": LEASE_SECONDS,
                "renewTime": meta.now_micro(),
            },
        }
