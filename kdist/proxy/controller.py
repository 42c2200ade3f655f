"""The proxy's loop: watch Services and EndpointSlices, note what changed, apply it in one transaction.

Changes that arrive while a transaction runs go into the next one, so a busy cluster makes transactions larger
and not more numerous.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from kdist.api import meta
from kdist.api.kinds import ENDPOINT_SLICES, SERVICES
from kdist.client.informer import Informer
from kdist.client.rest import Client
from kdist.proxy import metrics
from kdist.proxy.healthcheck import HealthChecks
from kdist.proxy.nft import NftError
from kdist.proxy.rules import Rules
from kdist.telemetry import log as logs

log = logs.get(__name__)

# Another proxy may claim a Service by the first label; headless ones have nothing to program.
SELECTOR = "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless"
SERVICE_NAME = "kubernetes.io/service-name"
_BY_SERVICE = "service"
# How long changes may wait for a successful transaction before /healthz says so.
_STALE_SECONDS = 60.0
_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
# Lets a node port be reached on 127.0.0.1; the table's loopback guard keeps other hosts out.
_ROUTE_LOCALNET = Path("/proc/sys/net/ipv4/conf/all/route_localnet")


def slim(obj: dict[str, Any]) -> dict[str, Any]:
    """An object without what the proxy never reads; two thirds of a small object is managedFields."""
    metadata = {k: v for k, v in obj["metadata"].items() if k not in ("managedFields", "annotations")}
    return {**obj, "metadata": metadata}


def service_of(slice_: dict[str, Any]) -> list[str]:
    """The key of the Service that an EndpointSlice belongs to; empty when it belongs to none."""
    owner = meta.labels(slice_).get(SERVICE_NAME)
    return [f"{meta.namespace(slice_)}/{owner}"] if owner else []


class Proxy:
    """Keeps the :class:`Rules` of every address family in step with the API server."""

    def __init__(
        self, client: Client, rules: Sequence[Rules], *, sync_period: float, check_period: float
    ) -> None:
        self._services = Informer(client, SERVICES, label_selector=SELECTOR, transform=slim)
        self._slices = Informer(
            client,
            ENDPOINT_SLICES,
            label_selector=SELECTOR,
            transform=slim,
            indexers={_BY_SERVICE: service_of},
        )
        self._rules, self._health_checks = tuple(rules), HealthChecks()
        self._sync_period, self._check_period = sync_period, check_period
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._failing_since: float | None = None
        self._written = False
        self._services.add_handler(self._service_changed)
        self._slices.add_handler(self._slice_changed)

    def _service_changed(self, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        self._mark([meta.key(obj) for obj in (old, new) if obj])

    def _slice_changed(self, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        self._mark([key for obj in (old, new) if obj for key in service_of(obj)])

    def _mark(self, keys: list[str]) -> None:
        metrics.LAST_QUEUED.set(time.time())
        self._dirty.update(keys)
        self._wake.set()

    def is_live(self) -> str | None:
        """A health check: None, or why changes are not being applied."""
        if self._failing_since and time.monotonic() - self._failing_since > _STALE_SECONDS:
            return f"nftables has refused all changes for {time.monotonic() - self._failing_since:.0f} s"
        return None

    def is_ready(self) -> str | None:
        """A health check: None once the rules were written for the first time."""
        return None if self._written else "the rules have not been written yet"

    async def run(self) -> None:
        """Proxy until cancelled. The rules stay when it ends: connections go on without a proxy."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._services.run(), name="services")
                tasks.create_task(self._slices.run(), name="endpoint-slices")
                await self._services.wait_synced()
                await self._slices.wait_synced()
                await self._loop()
        finally:
            await self._health_checks.close()
            for rules in self._rules:
                rules.close()

    async def _loop(self) -> None:
        last_rewrite, attempt = float("-inf"), 0
        while True:
            self._note_changes()
            due = time.monotonic() - last_rewrite >= self._sync_period
            try:
                if due or attempt or not await asyncio.to_thread(self._is_intact):
                    await self._rewrite(first=not self._written)
                    last_rewrite = time.monotonic()
                else:
                    await asyncio.to_thread(self._apply)
            except (NftError, OSError) as error:
                metrics.SYNC_FAILURES.inc()
                log.error("nftables refused the rules", error=error)
                self._failing_since = self._failing_since or time.monotonic()
                await asyncio.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
                attempt += 1
                continue
            attempt, self._failing_since, self._written = 0, None, True
            metrics.SERVICES.set(self._count())
            plans = chain.from_iterable(rules.ledger.plans.items() for rules in self._rules)
            await self._health_checks.sync(plans)
            await self._wait()

    def _is_intact(self) -> bool:
        return all(rules.is_intact() for rules in self._rules)

    def _apply(self) -> None:
        for rules in self._rules:
            rules.apply()

    def _count(self) -> int:
        """How many Services have rules, in whichever family."""
        first, *others = (rules.ledger.plans for rules in self._rules)
        return len(first) if not others else len(set(first).union(*others))

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._check_period):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _note_changes(self) -> None:
        self._wake.clear()
        dirty, self._dirty = self._dirty, set()
        for key in dirty:
            service, slices = self._services.get(key), self._slices.by_index(_BY_SERVICE, key)
            for rules in self._rules:
                rules.plan(key, service, slices)

    async def _rewrite(self, *, first: bool) -> None:
        started = time.monotonic()
        for rules in self._rules:
            await asyncio.to_thread(rules.rewrite)
            if first:
                await asyncio.to_thread(rules.forget_all_stale_flows)
        log.info(
            "wrote all rules",
            services=self._count(),
            seconds=round(time.monotonic() - started, 3),
        )


def allow_loopback_node_ports() -> None:
    """Let node ports answer on 127.0.0.1; where the host forbids the setting, it is reported."""
    try:
        if _ROUTE_LOCALNET.read_text().strip() != "1":
            _ROUTE_LOCALNET.write_text("1")
    except OSError as error:
        log.warning("node ports will not answer on 127.0.0.1", setting=_ROUTE_LOCALNET, error=error)
