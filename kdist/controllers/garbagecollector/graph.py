"""Who owns whom, for every object of every resource. Pure: events in, the uids to look at out.

Nodes are tiny: the graph holds all objects of the cluster. An owner that is referred to but was never seen is a
*virtual* node: perhaps its event is still to come, perhaps it does not exist; only the server knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kdist.api import meta
from kdist.api.kinds import Kind
from kdist.api.meta import Obj

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


@dataclass(frozen=True, slots=True)
class OwnerRef:
    """One ownerReference; ``namespace`` is that of the dependent."""

    uid: str
    api_version: str
    kind: str
    name: str
    namespace: str
    blocks: bool = False


@dataclass(slots=True)
class Node:
    """One object. ``resource`` is None as long as the object was only referred to."""

    uid: str
    resource: Kind | None
    namespace: str
    name: str
    owners: tuple[OwnerRef, ...] = ()
    dependents: set[str] = field(default_factory=set)
    deleting: bool = False
    finalizers: tuple[str, ...] = ()

    @property
    def virtual(self) -> bool:
        """Whether no event has shown the object yet."""
        return self.resource is None

    @property
    def deletes_dependents(self) -> bool:
        """Whether it waits in foreground deletion for its dependents to go."""
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphans_dependents(self) -> bool:
        """Whether its dependents are to be set free before it goes."""
        return self.deleting and ORPHAN in self.finalizers


@dataclass(slots=True)
class Work:
    """What an event calls for: objects whose deletion is to be considered, owners whose children go free."""

    attempt: set[str] = field(default_factory=set)
    orphan: set[str] = field(default_factory=set)


class Graph:
    """The nodes by uid."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, uid: str) -> Node | None:
        """The node of an object."""
        return self._nodes.get(uid)

    def dependents(self, node: Node) -> list[Node]:
        """The nodes that name it as an owner."""
        return [self._nodes[uid] for uid in node.dependents if uid in self._nodes]

    def seen(self, kind: Kind, obj: Obj) -> Work:
        """An object exists in this state."""
        work, metadata = Work(), obj["metadata"]
        node = self._nodes.get(meta.uid(obj))
        if node is None:
            node = self._nodes[meta.uid(obj)] = Node(meta.uid(obj), kind, meta.namespace(obj), meta.name(obj))
            fresh = True
        else:
            fresh = node.virtual
            if fresh:
                node.resource, node.namespace, node.name = kind, meta.namespace(obj), meta.name(obj)
                # Dependents may have referred to it by other coordinates: then they refer to nothing.
                work.attempt |= {d.uid for d in self.dependents(node) if not _refers_to(d, node)}
        was_deleting, had_finalizers = node.deleting, node.finalizers
        node.deleting = bool(metadata.get("deletionTimestamp"))
        node.finalizers = tuple(metadata.get("finalizers") or ())
        self._set_owners(node, _owners(obj), work, fresh)
        if not was_deleting or had_finalizers != node.finalizers or fresh:
            self._consider_deletion(node, work)
        return work

    def gone(self, uid: str) -> Work:
        """An object was deleted: those it owned and those it blocked are to be considered."""
        node = self._nodes.pop(uid, None)
        work = Work()
        if node is None:
            return work
        self._unlink(node, node.owners)
        work.attempt |= {d.uid for d in self.dependents(node)}
        if node.dependents:
            # They still refer to it: the server will be asked, and say that it does not exist.
            self._nodes[uid] = Node(uid, None, node.namespace, node.name)
            self._nodes[uid].dependents = node.dependents
        for ref in node.owners:
            owner = self._nodes.get(ref.uid)
            if owner is not None and owner.deletes_dependents:
                work.attempt.add(owner.uid)
        return work

    def _set_owners(self, node: Node, owners: tuple[OwnerRef, ...], work: Work, fresh: bool) -> None:
        if owners == node.owners:
            return
        removed = [ref for ref in node.owners if ref not in owners]
        added = [ref for ref in owners if ref not in node.owners]
        node.owners = owners
        kept = {ref.uid for ref in owners}
        self._unlink(node, [ref for ref in removed if ref.uid not in kept])
        for ref in added:
            owner = self._nodes.get(ref.uid)
            if owner is None:
                owner = self._nodes[ref.uid] = Node(ref.uid, None, ref.namespace, ref.name)
            owner.dependents.add(node.uid)
            if owner.virtual or owner.deletes_dependents or not refers_to(ref, owner):
                work.attempt.add(node.uid)
        for ref in (*removed, *added):
            owner = self._nodes.get(ref.uid)
            if owner is not None and owner.deletes_dependents:
                work.attempt.add(owner.uid)
        if removed and not fresh:
            work.attempt.add(node.uid)

    def _unlink(self, node: Node, refs: tuple[OwnerRef, ...] | list[OwnerRef]) -> None:
        for ref in refs:
            owner = self._nodes.get(ref.uid)
            if owner is None:
                continue
            owner.dependents.discard(node.uid)
            if owner.virtual and not owner.dependents:
                del self._nodes[ref.uid]

    def _consider_deletion(self, node: Node, work: Work) -> None:
        if node.orphans_dependents:
            work.orphan.add(node.uid)
        elif node.deletes_dependents:
            work.attempt.add(node.uid)
            work.attempt |= {d.uid for d in self.dependents(node)}


def _owners(obj: Obj) -> tuple[OwnerRef, ...]:
    return tuple(
        OwnerRef(
            ref["uid"],
            ref["apiVersion"],
            ref["kind"],
            ref["name"],
            meta.namespace(obj),
            bool(ref.get("blockOwnerDeletion")),
        )
        for ref in obj["metadata"].get("ownerReferences") or ()
    )


def refers_to(ref: OwnerRef, owner: Node) -> bool:
    """Whether the reference's coordinates are those of the object that has its uid."""
    kind = owner.resource
    if kind is None:
        return True
    same_group = ref.api_version.rpartition("/")[0] == kind.group
    same_namespace = not kind.namespaced or ref.namespace == owner.namespace
    return same_group and same_namespace and (ref.kind, ref.name) == (kind.kind, owner.name)


def _refers_to(dependent: Node, owner: Node) -> bool:
    return all(refers_to(ref, owner) for ref in dependent.owners if ref.uid == owner.uid)
