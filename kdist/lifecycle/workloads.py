"""Whether a Deployment, StatefulSet or DaemonSet is whole, and waiting until it is.

The add-ons of a cluster are renewed one after the other by this: processes that start everywhere at once take the
processors from pods that asked for little, and a bad version must not reach the next add-on.
"""

from __future__ import annotations

import asyncio
import time

from kdist.api import kinds
from kdist.api.errors import ApiError, NotFound
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.client.rest import Client, Unreachable

ROLLING: dict[str, Kind] = {"Deployment": kinds.DEPLOYMENTS, "DaemonSet": kinds.DAEMON_SETS}
POLL_SECONDS = 0.3


def missing(item: Obj) -> str | None:
    """What a workload lacks, None when it is whole and at its last revision. Pure."""
    status = item.get("status", {})
    if status.get("observedGeneration", 0) < item["metadata"].get("generation", 0):
        return "its last change has not been seen yet"
    if item["kind"] == "DaemonSet":
        wanted, have = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
        updated = status.get("updatedNumberScheduled", 0)
        rolling = item["spec"].get("updateStrategy", {}).get("type") != "OnDelete"
    else:
        wanted = item["spec"].get("replicas", 1)
        have, updated = status.get("availableReplicas", 0), status.get("updatedReplicas", 0)
        rolling = item["kind"] == "Deployment" and not item["spec"].get("paused")
    if have < wanted:
        return f"{have} of {wanted} available"
    return f"{updated} of {wanted} updated" if rolling and updated < wanted else None


async def until_whole(client: Client, kind: Kind, name: str, namespace: str, timeout: float) -> str | None:
    """Wait until a workload is whole; what it lacks still when ``timeout`` seconds are over. Gone counts as whole."""
    deadline, why = time.monotonic() + timeout, "it has not been looked at"
    while True:
        try:
            lacks = missing(await client.get(kind, name, namespace))
            if lacks is None:
                return None
            why = lacks
        except NotFound:
            return None
        except (ApiError, Unreachable) as error:
            why = f"the API server does not answer: {error}"
        if time.monotonic() > deadline:
            return why
        await asyncio.sleep(POLL_SECONDS)
