"""What becomes of an object, given what is known of its owners. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from kdist.controllers.garbagecollector.graph import FOREGROUND, Node, OwnerRef


class Verdict(Enum):
    """What to do with an object."""

    KEEP = "keep"
    DROP_REFERENCES = "drop references"
    DELETE_FOREGROUND = "delete, dependents first"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Owners:
    """An object's owners, sorted by what the server says of them."""

    solid: tuple[OwnerRef, ...] = ()
    dangling: tuple[OwnerRef, ...] = ()
    waiting: tuple[OwnerRef, ...] = ()  # in foreground deletion: they wait for this object


def judge(node: Node, owners: Owners, dependents: Iterable[Node]) -> Verdict:
    """One solid owner is enough to live; then references to others are dropped.

    When an owner waits for the object and the object itself has dependents, it too goes foreground, so that
    the whole tree goes from the leaves.
    """
    if owners.solid:
        return Verdict.DROP_REFERENCES if owners.dangling or owners.waiting else Verdict.KEEP
    if owners.waiting and any(True for _ in dependents):
        return Verdict.DELETE_FOREGROUND
    return Verdict.DELETE


def policy(finalizers: Iterable[str]) -> str:
    """The propagation that the object's own finalizers ask for."""
    wanted = set(finalizers)
    if "orphan" in wanted:
        return "Orphan"
    return "Foreground" if FOREGROUND in wanted else "Background"


def blocking(node: Node, dependents: Iterable[Node]) -> list[Node]:
    """The dependents for whose end an owner in foreground deletion waits."""
    return [
        d for d in dependents if not d.virtual and any(ref.uid == node.uid and ref.blocks for ref in d.owners)
    ]
