"""Mirror pods: static pods made visible in the API. They are made, replaced and removed to match; never run."""

from __future__ import annotations

import copy
from collections.abc import Callable

from kdist.agent.cri import labels
from kdist.agent.pods import spec as specs
from kdist.api import meta
from kdist.api.errors import AlreadyExists, Conflict, NotFound
from kdist.api.kinds import NODES, PODS
from kdist.api.meta import Obj
from kdist.client.informer import Informer
from kdist.client.rest import Client
from kdist.client.workers import run_workers
from kdist.client.workqueue import WorkQueue


def mirror_of(pod: Obj, node: Obj) -> Obj:
    """The mirror pod of a static pod; owned by its node, so that it goes with it."""
    own = pod["metadata"]
    # The server gives the mirror a uid of its own; the annotation ties it to the pod on the node.
    metadata = {k: v for k, v in own.items() if k in ("name", "namespace", "labels")}
    metadata["annotations"] = {**own["annotations"], labels.CONFIG_MIRROR: meta.uid(pod)}
    owner = meta.owner_ref(node, NODES)
    owner.pop("blockOwnerDeletion", None)
    metadata["ownerReferences"] = [owner]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": copy.deepcopy(pod["spec"])}


def is_current(mirror: Obj, static: Obj | None) -> bool:
    """Whether the mirror pod shows just this static pod, and is to stay."""
    shown = meta.annotations(mirror).get(labels.CONFIG_MIRROR)
    return static is not None and shown == meta.uid(static) and not meta.is_deleting(mirror)


class MirrorPods:
    """Keeps the API's mirror pods in line with the static pods of this node."""

    def __init__(self, client: Client, pods: Informer, node: Callable[[], Obj | None]) -> None:
        """``node`` is the registered Node, None while there is none."""
        self._client, self._pods, self._node = client, pods, node
        self._static: dict[str, Obj] = {}
        self._queue = WorkQueue("mirror-pods")

    def set_static(self, old: Obj | None, new: Obj | None) -> None:
        """A static pod came, changed or went."""
        if old is not None and (new is None or meta.key(old) != meta.key(new)):
            self._static.pop(meta.key(old), None)
            self._queue.add(meta.key(old))
        if new is not None:
            self._static[meta.key(new)] = new
            self._queue.add(meta.key(new))

    def observe(self, mirror: Obj) -> None:
        """A mirror pod of the API was added, changed or removed."""
        self._queue.add(meta.key(mirror))

    def find(self, static: Obj) -> Obj | None:
        """The mirror pod that shows this static pod."""
        mirror = self._pods.get(meta.key(static))
        return mirror if mirror and specs.is_mirror(mirror) and is_current(mirror, static) else None

    async def run(self) -> None:
        """Reconcile until cancelled, once the API's pods are known."""
        await self._pods.wait_synced()
        await run_workers(self._queue, self._reconcile, workers=2, name="mirror-pods")

    async def _reconcile(self, key: str) -> float | None:
        static, mirror = self._static.get(key), self._pods.get(key)
        if mirror is not None and not specs.is_mirror(mirror):
            return None
        if mirror is not None and not is_current(mirror, static):
            await self._remove(mirror)
            return None  # Its removal brings the key back.
        if mirror is None and static is not None:
            node = self._node()
            if node is None:
                return 1.0
            try:
                await self._client.create(PODS, mirror_of(static, node))
            except AlreadyExists:
                return 1.0  # The informer is a little behind.
        return None

    async def _remove(self, mirror: Obj) -> None:
        try:
            await self._client.delete(
                PODS, meta.name(mirror), meta.namespace(mirror), grace_seconds=0, uid=meta.uid(mirror)
            )
        except (NotFound, Conflict):
            return
