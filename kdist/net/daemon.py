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
        self._dual = any(":" in cidr for cidr in options.cluster_cidr)
        # What was applied last, by family.
        self._rulesets: dict[str, str] = {}
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
            with events.watch(lambda: self._interfaces, self._wake.set, dual=self._dual):
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
        uplink6 = await self._kernel.uplink(own.address6) if own.pods6 and own.address6 else None
        if own.pods6 and own.address6 and uplink6 is None:
            return f"no interface has the address {own.address6}"
        self._set_sysctls(uplink6, dual=bool(own.pods6))
        wanted = plan.make(
            own,
            (host for host in map(hosts.read, self._nodes.list()) if host),
            uplink,
            uplink6,
            encapsulation=self._options.encapsulation,
            mtu=self._options.mtu,
        )
        changes = await self._kernel.apply(wanted, uplink, uplink6)
        links = (uplink.index, uplink6.index if uplink6 else None, await self._kernel.tunnel_index())
        self._interfaces = frozenset(i for i in links if i)
        masked = [await self._masquerade(pods) for pods in (own.pods, own.pods6) if pods]
        conflist = cni.conflist(wanted.pods, wanted.mtu, wanted.pods6)
        written = cni.write(self._options.cni_directory, conflist)
        if changes or any(masked) or written:
            log.info(
                "configured pod network",
                pods=f"{wanted.pods},{wanted.pods6}" if wanted.pods6 else wanted.pods,
                routes=len(wanted.routes),
                tunnelled=sum(route.tunnelled for route in wanted.routes),
                mtu=wanted.mtu,
            )
        await self._declare_available(node)
        return None

    async def _masquerade(self, pods: masquerade.Network) -> bool:
        family, ruleset = masquerade.family(pods), masquerade.ruleset(pods, self._options.cluster_cidr)
        changed = ruleset != self._rulesets.get(family)
        applied = await masquerade.ensure(ruleset, changed=changed, family=family)
        self._rulesets[family] = ruleset
        return applied

    def _set_sysctls(self, uplink6: plan.Uplink | None, *, dual: bool) -> None:
        failed = sysctl.ensure(sysctl.REQUIRED)
        if uplink6:
            failed |= sysctl.keep_advertised_routes(uplink6.name)
        if dual:
            failed |= sysctl.ensure(sysctl.REQUIRED_IPV6)
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
