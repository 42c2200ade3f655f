"""Deletes objects whose owners are gone, and carries out foreground deletion and orphaning.

The graph only says whom to look at. Before anything is deleted the server is asked: for the object itself, and
for every owner that is not known beyond doubt; the uid is a precondition of each write.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Coroutine, Iterable
from typing import Any

from kdist.api import meta
from kdist.api.errors import Conflict, NotFound
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.garbagecollector import plan
from kdist.controllers.garbagecollector.graph import (
    FOREGROUND,
    ORPHAN,
    Graph,
    Node,
    OwnerRef,
    Work,
    refers_to,
)
from kdist.controllers.garbagecollector.monitors import Monitors
from kdist.controllers.writes import all_of

_ORPHAN = "orphan/"
_ABSENT_REMEMBERED = 500
# While resources are still being listed an owner may merely not be known yet.
_WAIT_SECONDS = 0.2


class GarbageCollector(Controller):
    """One key is the uid of an object to consider, or ``orphan/UID`` of an owner to set free."""

    name = "garbage-collector-controller"
    component = "garbage-collector-controller"
    workers = 20

    def setup(self) -> None:
        """The graph is fed by watches of its own, on metadata only."""
        self._graph = Graph()
        self._monitors = Monitors(self.client, self._changed)
        self._absent: OrderedDict[tuple[str, str], None] = OrderedDict()  # (uid, namespace) of owners

    def loops(self) -> Iterable[Coroutine[Any, Any, None]]:
        """The watches."""
        return (self._monitors.run(),)

    def _changed(self, kind: Kind, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._enqueue(self._graph.seen(kind, new))
        elif old is not None:
            self._enqueue(self._graph.gone(meta.uid(old)))

    def _enqueue(self, work: Work) -> None:
        for uid in work.attempt:
            self.queue.add(uid)
        for uid in work.orphan:
            self.queue.add(_ORPHAN + uid)

    async def reconcile(self, key: str) -> float | None:
        """Decide about one object."""
        if not self._monitors.synced:
            return _WAIT_SECONDS
        node = self._graph.get(key.removeprefix(_ORPHAN))
        if node is None or node.resource is None:
            return None
        if key.startswith(_ORPHAN):
            await self._set_dependents_free(node, node.resource)
        elif node.deletes_dependents:
            await self._finish_foreground(node, node.resource)
        elif node.owners and not node.deleting:
            await self._attempt(node, node.resource)
        return None

    async def _attempt(self, node: Node, kind: Kind) -> None:
        try:
            latest = await self.client.get(kind, node.name, node.namespace or None, metadata_only=True)
        except NotFound:
            return  # its event is on the way
        refs = latest["metadata"].get("ownerReferences") or []
        if meta.uid(latest) != node.uid or meta.is_deleting(latest) or not refs:
            return
        owners = await self._sort(node)
        dependents = self._graph.dependents(node)
        match plan.judge(node, owners, dependents):
            case plan.Verdict.KEEP:
                return
            case plan.Verdict.DROP_REFERENCES:
                gone = {ref.uid for ref in (*owners.dangling, *owners.waiting)}
                await self._drop_references(node, kind, latest, gone)
            case plan.Verdict.DELETE_FOREGROUND:
                # Children that wait for the object to go must not hold up their own owner in a circle.
                await self._unblock(node, [d for d in dependents if d.deletes_dependents])
                await self._delete(node, kind, latest, "Foreground")
            case plan.Verdict.DELETE:
                wanted = plan.policy(latest["metadata"].get("finalizers") or ())
                await self._delete(node, kind, latest, wanted)

    async def _sort(self, node: Node) -> plan.Owners:
        solid: list[OwnerRef] = []
        dangling: list[OwnerRef] = []
        waiting: list[OwnerRef] = []
        for ref in node.owners:
            known = self._graph.get(ref.uid)
            if known is not None and not known.virtual and refers_to(ref, known):
                (waiting if known.deletes_dependents else solid).append(ref)
                continue
            owner = await self._ask_for(ref)
            if owner is None:
                dangling.append(ref)
            else:
                finalizers = owner["metadata"].get("finalizers") or ()
                foreground = meta.is_deleting(owner) and FOREGROUND in finalizers
                (waiting if foreground else solid).append(ref)
        return plan.Owners(tuple(solid), tuple(dangling), tuple(waiting))

    async def _ask_for(self, ref: OwnerRef) -> Obj | None:
        """The owner as the server has it; None when there is none with that uid."""
        if (ref.uid, ref.namespace) in self._absent:
            return None
        group, _, version = ref.api_version.rpartition("/")
        kind = self._monitors.by_kind.get((group, ref.kind))
        if kind is None:
            # Not a resource that is served: it may come back, so nothing is concluded from it.
            raise Conflict(f"owner {ref.api_version} {ref.kind} {ref.name} is of an unknown kind")
        kind = Kind(group, version, kind.plural, kind.kind, kind.namespaced)
        if not kind.namespaced or ref.namespace:
            namespace = ref.namespace if kind.namespaced else None
            try:
                owner = await self.client.get(kind, ref.name, namespace, metadata_only=True)
            except NotFound:
                owner = None
            if owner is not None and meta.uid(owner) == ref.uid:
                return owner
        self._absent[(ref.uid, ref.namespace)] = None
        while len(self._absent) > _ABSENT_REMEMBERED:
            self._absent.popitem(last=False)
        return None

    async def _delete(self, node: Node, kind: Kind, latest: Obj, propagation: str) -> None:
        try:
            await self.client.delete(
                kind,
                node.name,
                node.namespace or None,
                propagation=propagation,
                uid=node.uid,
                resource_version=meta.resource_version(latest),
            )
        except NotFound:
            return

    async def _drop_references(self, node: Node, kind: Kind, latest: Obj, owners: set[str]) -> None:
        left = [r for r in latest["metadata"].get("ownerReferences") or () if r["uid"] not in owners]
        await self._patch(node, kind, latest, {"ownerReferences": left or None})

    async def _unblock(self, owner: Node, dependents: list[Node]) -> None:
        for node in dependents:
            if node.resource is None:
                continue
            try:
                latest = await self.client.get(
                    node.resource, node.name, node.namespace or None, metadata_only=True
                )
            except NotFound:
                continue
            refs = [
                {**r, "blockOwnerDeletion": False} if r["uid"] == owner.uid else r
                for r in latest["metadata"].get("ownerReferences") or ()
            ]
            await self._patch(node, node.resource, latest, {"ownerReferences": refs})

    async def _finish_foreground(self, node: Node, kind: Kind) -> None:
        """Let go when nothing blocks any more; else see to those that do."""
        blockers = plan.blocking(node, self._graph.dependents(node))
        if not blockers:
            await self._remove_finalizer(node, kind, FOREGROUND)
            return
        for dependent in blockers:
            if not dependent.deletes_dependents:
                self.queue.add(dependent.uid)

    async def _set_dependents_free(self, node: Node, kind: Kind) -> None:
        if not node.orphans_dependents:
            return
        await all_of(self._set_free(node, d) for d in self._graph.dependents(node))
        await self._remove_finalizer(node, kind, ORPHAN)

    async def _set_free(self, owner: Node, dependent: Node) -> None:
        if dependent.resource is None:
            return
        try:
            latest = await self.client.get(
                dependent.resource, dependent.name, dependent.namespace or None, metadata_only=True
            )
        except NotFound:
            return
        await self._drop_references(dependent, dependent.resource, latest, {owner.uid})

    async def _remove_finalizer(self, node: Node, kind: Kind, finalizer: str) -> None:
        try:
            latest = await self.client.get(kind, node.name, node.namespace or None, metadata_only=True)
        except NotFound:
            return
        finalizers = latest["metadata"].get("finalizers") or []
        if meta.uid(latest) == node.uid and finalizer in finalizers:
            left = [f for f in finalizers if f != finalizer]
            await self._patch(node, kind, latest, {"finalizers": left or None})

    async def _patch(self, node: Node, kind: Kind, latest: Obj, metadata: Obj) -> None:
        if meta.uid(latest) != node.uid:
            return
        # The resourceVersion makes the patch fail when anybody changed the object since it was read.
        locked = {**metadata, "uid": node.uid, "resourceVersion": meta.resource_version(latest)}
        try:
            await self.client.patch(kind, node.name, {"metadata": locked}, node.namespace or None)
        except NotFound:
            return
