"""Moving workloads off a node that leaves: cordon, evict, wait, and say what still stands in the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from kdist.api import kinds, meta
from kdist.api.errors import ApiError, NotFound, TooManyRequests
from kdist.api.meta import Obj
from kdist.client.rest import Client
from kdist.lifecycle.remove.plan import Pod

POLL_SECONDS = 1.0


class NotDrained(Exception):
    """Pods are still there; the text says which and why."""


async def cordon(client: Client, node: str, unschedulable: bool = True) -> None:
    """Keep new pods away from the node, or let them come again. A node that is not there needs neither."""
    try:
        await client.patch(kinds.NODES, node, {"spec": {"unschedulable": unschedulable or None}})
    except NotFound:
        return


async def drain(
    client: Client,
    node: str,
    pods: Iterable[Pod],
    timeout: float,
    progress: Callable[[int], None] = lambda left: None,
) -> bool:
    """Evict the pods and wait until they are gone; ``progress`` is told how many are left. Raises NotDrained.

    False when the node fell silent meanwhile: nobody is left there to end its pods.
    """
    waiting = {pod.key: "has not ended yet" for pod in pods}
    uids: dict[str, str] = {}
    deadline = time.monotonic() + timeout
    while waiting:
        for key in list(waiting):
            told = await _evict(client, key, uids)
            if told is None:
                del waiting[key]
            else:
                waiting[key] = told
        progress(len(waiting))
        if waiting and not await is_alive(client, node):
            return False
        if waiting and time.monotonic() > deadline:
            reasons = "\n".join(f"  pod {key} {why}" for key, why in sorted(waiting.items()))
            raise NotDrained(f"not drained within {timeout:.0f} s:\n{reasons}")
        await asyncio.sleep(POLL_SECONDS if waiting else 0)
    return True


async def is_alive(client: Client, node: str) -> bool:
    """Whether the node's agent reports to the cluster."""
    try:
        found = await client.get(kinds.NODES, node)
    except NotFound:
        return False
    return reports(found)


def reports(node: Obj) -> bool:
    """Whether a node's status is its agent's own: the cluster sets it to Unknown once that is silent."""
    conditions = meta.get(node, "status.conditions", ())
    return any(c.get("type") == "Ready" and c.get("status") in ("True", "False") for c in conditions)


async def _evict(client: Client, key: str, uids: dict[str, str]) -> str | None:
    """None when the pod is gone; else what it waits for."""
    namespace, name = meta.split_key(key)
    try:
        pod = await client.get(kinds.PODS, name, namespace)
        if uids.setdefault(key, meta.uid(pod)) != meta.uid(pod):
            return None  # another one of that name, made by its controller
        if meta.is_deleting(pod):
            return f"is ending since {pod['metadata']['deletionTimestamp']}"
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": meta.uid(pod)}},
        }
        await client.request("POST", f"{kinds.PODS.path(namespace, name)}/eviction", body=eviction)
    except NotFound:
        return None
    except TooManyRequests as error:
        return f"is kept by its PodDisruptionBudget: {error.message}"
    except ApiError as error:
        return f"cannot be evicted: {error.message}"
    return "is ending"
