"""Emptying a node for a while, within the disruption budgets of what runs there.

Pods of DaemonSets, static pods and finished ones stay. So do pods that nobody would make again: an upgrade stops no
container, so they just go on. A pod whose budget allows no disruption is asked again until the time is over; then the
error names pod, budget and what the budget waits for.

A node that was cordoned here carries :data:`CORDONED`; only such a node is uncordoned, so that a cordon of somebody
else's stays.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kdist.api import kinds, meta
from kdist.api.errors import ApiError, NotFound, TooManyRequests
from kdist.api.meta import Obj
from kdist.api.pods import is_terminal
from kdist.api.selectors import from_label_selector
from kdist.client.rest import Client, Unreachable

CORDONED = "kdist.io/cordoned-by"
MIRROR = "kubernetes.io/config.mirror"
POLL_SECONDS = 1.0
UNMANAGED = "nobody would make it again"
RESUME = "make room for the budgets or raise --drain-timeout, then resume"


class DrainFailed(Exception):
    """A node could not be emptied; the text names each pod and what it waits for."""


class NodeLost(DrainFailed):
    """The node fell silent meanwhile: nobody is there to end its pods."""


def to_evict(pods: Iterable[Obj], *, for_good: bool = False) -> list[Obj]:
    """The pods of a node that must go; ``for_good``: the node does not come back, so pods without a controller too."""
    return [pod for pod in pods if (why := stays(pod)) is None or (for_good and why == UNMANAGED)]


def stays(pod: Obj) -> str | None:
    """Why a pod may stay on a node that is drained; None when it must go."""
    if MIRROR in meta.annotations(pod):
        return "static"
    if is_terminal(pod):
        return "finished"
    owner = meta.controller_of(pod)
    if owner is None:
        return UNMANAGED
    return "of a DaemonSet" if owner["kind"] == "DaemonSet" else None


def explain(pods: Iterable[Obj], budgets: Sequence[Obj], refusals: dict[str, str]) -> list[str]:
    """What each pod waits for. ``refusals``: what the server said to its eviction, by key."""
    reasons = []
    for pod in pods:
        key = meta.key(pod)
        if meta.is_deleting(pod):
            since = pod["metadata"]["deletionTimestamp"]
            reasons.append(f"pod {key} was evicted and has not ended yet (it was to end by {since})")
            continue
        named = [_told(budget) for budget in budgets if _covers(budget, pod)]
        said = refusals.get(key, "it was not asked yet")
        reasons.append(f"pod {key}: {'; '.join(named) if named else said}")
    return reasons


def _covers(budget: Obj, pod: Obj) -> bool:
    if budget["metadata"]["namespace"] != pod["metadata"]["namespace"]:
        return False
    return from_label_selector(budget["spec"].get("selector")).matches(meta.labels(pod))


def _told(budget: Obj) -> str:
    status = budget.get("status", {})
    return (
        f"budget {meta.key(budget)} allows {status.get('disruptionsAllowed', 0)} disruptions: "
        f"{status.get('currentHealthy', 0)} of {status.get('expectedPods', 0)} pods are healthy, "
        f"{status.get('desiredHealthy', 0)} must be"
    )


def lost(node: Obj) -> str | None:
    """Why a node cannot carry on with a drain; None while it is Ready."""
    conditions = node.get("status", {}).get("conditions") or []
    ready = next(
        (c for c in conditions if c["type"] == "Ready"), {"status": "Unknown", "message": "no status"}
    )
    if ready["status"] == "True":
        return None
    return (
        f"Ready is {ready['status']} since {ready.get('lastTransitionTime', '?')}: {ready.get('message', '')}"
    )


def lost_nodes(nodes: Iterable[Obj]) -> list[str]:
    """Nodes that are not Ready: pods there count as missing, and budgets then allow nothing elsewhere. Pure."""
    return [
        f"{meta.name(node)} is not Ready, its pods are missed: {why}" for node in nodes if (why := lost(node))
    ]


async def cordon(client: Client, node: str, by: str) -> None:
    """Take no new pods on a node. One that somebody else has cordoned is left as it is."""
    found = await client.get(kinds.NODES, node)
    if found["spec"].get("unschedulable"):
        return
    body: Obj = {"metadata": {"annotations": {CORDONED: by}}, "spec": {"unschedulable": True}}
    await client.patch(kinds.NODES, node, body)


async def uncordon(client: Client, node: str) -> bool:
    """Undo :func:`cordon`; False when there was nothing to undo."""
    found = await client.get(kinds.NODES, node)
    if CORDONED not in meta.annotations(found):
        return False
    body: Obj = {"metadata": {"annotations": {CORDONED: None}}, "spec": {"unschedulable": None}}
    await client.patch(kinds.NODES, node, body)
    return True


async def drain(
    client: Client,
    node: str,
    *,
    timeout: float,
    tell: Callable[[str], None] = lambda text: None,
    for_good: bool = False,
    advice: str = RESUME,
) -> int:
    """Evict until nothing is left that must go; how many pods went. Raises DrainFailed, NodeLost.

    ``for_good``: see :func:`to_evict`. ``advice``: what to do when the time is over.
    """
    deadline, went, refusals = time.monotonic() + timeout, set[str](), dict[str, str]()
    while True:
        try:
            if (why := lost(await client.get(kinds.NODES, node))) is not None:
                raise NodeLost(
                    f"{node} was lost while it was drained: {why}. Bring it back, then `kdist upgrade resume`"
                )
            found = await client.list(kinds.PODS, field_selector=f"spec.nodeName={node}")
            left = to_evict(found.items, for_good=for_good)
            for pod in left:
                if not meta.is_deleting(pod) and await _evict(client, pod, refusals):
                    went.add(meta.uid(pod))
            if not left:
                return len(went)
            tell(f"{len(left)} pods left")
            failure = None
        except (ApiError, Unreachable) as error:
            failure = error
        if time.monotonic() > deadline:
            head = f"{node} was not empty after {timeout:.0f} s"
            if failure is not None:
                raise DrainFailed(f"{head}: the API did not answer: {failure}") from failure
            budgets = (await client.list(kinds.POD_DISRUPTION_BUDGETS)).items
            silent = lost_nodes((await client.list(kinds.NODES)).items)
            raise DrainFailed("\n  ".join([f"{head}:", *explain(left, budgets, refusals), *silent, advice]))
        await asyncio.sleep(POLL_SECONDS)


async def _evict(client: Client, pod: Obj, refusals: dict[str, str]) -> bool:
    about = {"name": meta.name(pod), "namespace": meta.namespace(pod)}
    body: dict[str, Any] = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": about,
        "deleteOptions": {"preconditions": {"uid": meta.uid(pod)}},
    }
    path = kinds.PODS.path(about["namespace"], about["name"], "eviction")
    try:
        await client.request("POST", path, body=body)
    except NotFound:
        return True
    except TooManyRequests as error:
        refusals[meta.key(pod)] = error.message
        return False
    return True
