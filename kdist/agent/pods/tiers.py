"""The cgroups above the pods: all pods together, and the burstable and best-effort tiers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from kdist.agent import cgroups
from kdist.agent.cgroups import CgroupDriver
from kdist.agent.pods import resources
from kdist.agent.pods.resources import CgroupLimits
from kdist.api import pods as api_pods
from kdist.api.meta import Obj
from kdist.telemetry import log as telemetry

log = telemetry.get(__name__)
KEEP_SECONDS = 10.0


def limits(cpus: int, pods: Iterable[Obj]) -> dict[cgroups.Name, CgroupLimits]:
    """The limits of the three cgroups: a tier weighs as much as its pods ask for. Pure."""
    burstable = sum(api_pods.requests(p).get("cpu", 0) for p in pods if resources.qos(p) == "Burstable")
    return {
        cgroups.ROOT: CgroupLimits(cpu_shares=resources.shares(cpus * 1000)),
        cgroups.tier("Burstable"): CgroupLimits(cpu_shares=resources.shares(burstable)),
        cgroups.tier("BestEffort"): CgroupLimits(cpu_shares=resources.MIN_SHARES),
    }


async def keep(driver: CgroupDriver, cpus: int, pods: Callable[[], Iterable[Obj]]) -> None:
    """Keep the three cgroups as the running pods want them, until cancelled."""
    done: dict[cgroups.Name, CgroupLimits] = {}
    while True:
        for name, wanted in limits(cpus, pods()).items():
            if done.get(name) == wanted:
                continue
            try:
                await driver.ensure(name, wanted)
                done[name] = wanted
            except OSError as error:
                log.warning("cgroup cannot be set", cgroup=driver.parent(name), error=error)
        await asyncio.sleep(KEEP_SECONDS)
