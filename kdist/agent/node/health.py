"""The runtime's own conditions, asked often while something is amiss and seldom while all is well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kdist.agent.cri import errors
from kdist.agent.cri.client import CriClient
from kdist.agent.pods.host import RuntimeHealth
from kdist.telemetry import log as telemetry

log = telemetry.get(__name__)
WELL_SECONDS = 10.0
AMISS_SECONDS = 0.5


async def watch_health(cri: CriClient, health: RuntimeHealth, on_change: Callable[[], None]) -> None:
    """Keep ``health`` true until cancelled; ``on_change`` is called after every change of a condition."""
    while True:
        before = (health.runtime_ready, health.network_ready)
        await _look(cri, health)
        now = (health.runtime_ready, health.network_ready)
        if now != before:
            log.info("runtime health changed", runtime=now[0], network=now[1])
            on_change()
        await asyncio.sleep(WELL_SECONDS if all(now) else AMISS_SECONDS)


async def _look(cri: CriClient, health: RuntimeHealth) -> None:
    try:
        conditions = {c.type: c for c in await cri.status()}
    except errors.CriError as error:
        health.runtime_ready, health.runtime_message = False, str(error)
        return
    runtime, network = conditions.get("RuntimeReady"), conditions.get("NetworkReady")
    health.runtime_ready = runtime is not None and runtime.status
    health.runtime_message = runtime.message if runtime else "no RuntimeReady condition"
    health.network_ready = network is not None and network.status
    if network is None:
        health.network_message = "no NetworkReady condition"
    else:
        health.network_message = f"NetworkReady=false reason:{network.reason} message:{network.message}"
