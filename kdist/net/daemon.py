"""The daemon's loop: watch Nodes and the kernel, plan from scratch, bring this host in line."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdist.api import meta
from kdist.api.errors import ApiError
from kdist.api.kinds import NODES
from kdist.api.pods import set_condition
from kdist.client.informer import Informer
from kdist.client.rest import Client, Unreachable
from kdist.net import cni, events, hosts, masquerade, plan, sysctl
from kdist.net.kernel import Kernel, KernelError
from kdist.telemetry import log as logs

log = logs.get(__name__)

# Changes come in bursts (a host that joins, an interface that comes up): one look for all of them.
_SETTLE_SECONDS = 0.1
# What makes no event (the masquerade table, neighbour entries) is looked at this often.
_CHECK_SECONDS = 60.0
_RETRY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator chose."""

    node: str
    cluster_cidr: tuple[str, ...]
    encapsulation: str
    mtu: int
    cni_directory: Path


class Daemon:
    """Keeps this host's pod network as the Nodes ask."""

    def __init__(self, client: Client, kernel: Kernel, options: Options) -> None:
        self._client, self._kernel, self._options = client, kernel, options
        self._nodes = Informer(client, NODES, transform=hosts.slim)
        self._nodes.add_handler(self._node_changed)
        self._wake = asyncio.Event()
        self._interfaces: frozenset[int] = frozenset()
        self._ruleset = ""
        self._problem: str | None = "not configured yet"
        self._unset: dict[str, str] = {}

    def _node_changed(self, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if (old and hosts.read(old)) != (new and hosts.read(new)) or (
            new and hosts.says_network_unavailable(new)
        ):
            self._wake.set()

    def is_ready(self) -> str | None:
        """A health check: None when the host is as planned, else why not."""
        return self._problem

    async def run(self) -> None:
        """Work until cancelled. The network stays as it is when it ends."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._nodes.run(), name="nodes")
            await self._nodes.wait_synced()
            with events.watch(lambda: self._interfaces, self._wake.set):
                while True:
                    self._wake.clear()
                    pause = await self._attempt()
                    await self._wait(pause)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(_SETTLE_SECONDS)

    async def _attempt(self) -> float:
        """One reconciliation; returns how long to sleep when nothing happens."""
        try:
            problem = await self._reconcile()
        except (KernelError, masquerade.NftFailed, OSError, ApiError, Unreachable) as error:
            problem = f"{type(error).__name__}: {error}"
        if problem and problem != self._problem:
            log.warning("pod network is not as planned", reason=problem)
        self._problem = problem
        return _RETRY_SECONDS if problem else _CHECK_SECONDS

    async def _reconcile(self) -> str | None:
        node = self._nodes.get(self._options.node)
        own = hosts.read(node) if node else None
        if node is None or own is None:
            return f"node {self._options.node} has no address or no pod range yet"
        uplink = await self._kernel.uplink(own.address)
        if uplink is None:
            return f"no interface has the address {own.address}"
        self._set_sysctls()
        wanted = plan.make(
            own,
            (host for host in map(hosts.read, self._nodes.list()) if host),
            uplink,
            encapsulation=self._options.encapsulation,
            mtu=self._options.mtu,
        )
        changes = await self._kernel.apply(wanted, uplink)
        self._interfaces = frozenset(i for i in (uplink.index, await self._kernel.tunnel_index()) if i)
        ruleset = masquerade.ruleset(own.pods, self._options.cluster_cidr)
        masked = await masquerade.ensure(ruleset, changed=ruleset != self._ruleset)
        self._ruleset = ruleset
        written = cni.write(self._options.cni_directory, cni.conflist(wanted.pods, wanted.mtu))
        if changes or masked or written:
            log.info(
                "configured pod network",
                pods=wanted.pods,
                routes=len(wanted.routes),
                tunnelled=sum(route.tunnelled for route in wanted.routes),
                mtu=wanted.mtu,
            )
        await self._declare_available(node)
        return None

    def _set_sysctls(self) -> None:
        failed = sysctl.ensure(sysctl.REQUIRED)
        if failed != self._unset:
            for name, reason in failed.items():
                log.warning("kernel setting cannot be set here", setting=name, reason=reason)
        self._unset = failed

    async def _declare_available(self, node: dict[str, Any]) -> None:
        """Somebody (a cloud provider) may have marked the node as waiting for its routes: here they are."""
        if not hosts.says_network_unavailable(node):
            return
        status: dict[str, Any] = {"status": {"conditions": []}}
        set_condition(
            status, "NetworkUnavailable", "False", reason="RouteCreated", message="kdist net configured it"
        )
        await self._client.patch(NODES, meta.name(node), status, type="strategic", subresource="status")
