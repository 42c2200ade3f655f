"""Who controls what: adopting what the selector matches, releasing what it no longer matches.

The decision is pure (:func:`sort_out`); :class:`Owner` makes it true on the server. Only an orphan is adopted,
only by an owner that still exists under the same uid, and never while either is being deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kdist.api import meta
from kdist.api.errors import ApiError, Invalid, NotFound
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.api.selectors import LabelSelector
from kdist.client.informer import Informer
from kdist.client.rest import Client

OWNER_INDEX = "owner"


def by_owner(obj: Obj) -> Iterable[str]:
    """Index function: the uid of the controller, or ``orphans/NAMESPACE``."""
    ref = meta.controller_of(obj)
    return (ref["uid"] if ref else f"orphans/{meta.namespace(obj)}",)


def candidates(informer: Informer, owner: Obj) -> list[Obj]:
    """What the owner controls, and the orphans of its namespace (the informer needs OWNER_INDEX)."""
    owned = informer.by_index(OWNER_INDEX, meta.uid(owner))
    return owned + informer.by_index(OWNER_INDEX, f"orphans/{meta.namespace(owner)}")


@dataclass(frozen=True, slots=True)
class Claims:
    """The verdict on candidates: what stays, what is to be adopted, what is to be released."""

    keep: list[Obj]
    adopt: list[Obj]
    release: list[Obj]


def sort_out(owner: Obj, selector: LabelSelector, objects: Iterable[Obj]) -> Claims:
    """Judge candidates of the owner's namespace."""
    claims = Claims([], [], [])
    going = meta.is_deleting(owner)
    for obj in objects:
        ref, matches = meta.controller_of(obj), selector.matches(meta.labels(obj))
        if ref is None:
            if matches and not going and not meta.is_deleting(obj):
                claims.adopt.append(obj)
        elif ref.get("uid") == meta.uid(owner):
            # A deleted owner leaves its objects to the garbage collector.
            (claims.keep if matches or going else claims.release).append(obj)
    return claims


class Owner:
    """Applies claims for one kind of owner over one kind of object."""

    def __init__(self, client: Client, kind: Kind, owned: Kind) -> None:
        self._client, self._kind, self._owned = client, kind, owned

    async def claim(self, owner: Obj, selector: LabelSelector, objects: Iterable[Obj]) -> list[Obj]:
        """What the owner controls once orphans are adopted and strays released."""
        claims = sort_out(owner, selector, objects)
        kept = list(claims.keep)
        for obj in claims.release:
            await self._release(owner, obj)
        if claims.adopt and await self._still_exists(owner):
            for obj in claims.adopt:
                if adopted := await self._adopt(owner, obj):
                    kept.append(adopted)
        return kept

    async def _still_exists(self, owner: Obj) -> bool:
        # The cache may be old; adopting for an owner that was deleted and made anew would be theft.
        try:
            fresh = await self._client.get(self._kind, meta.name(owner), meta.namespace(owner))
        except NotFound:
            return False
        return meta.uid(fresh) == meta.uid(owner) and not meta.is_deleting(fresh)

    async def _adopt(self, owner: Obj, obj: Obj) -> Obj | None:
        refs = [meta.owner_ref(owner, self._kind)]
        return await self._patch(obj, refs)

    async def _release(self, owner: Obj, obj: Obj) -> None:
        await self._patch(obj, [{"$patch": "delete", "uid": meta.uid(owner)}])

    async def _patch(self, obj: Obj, refs: list[Obj]) -> Obj | None:
        # The uid in the patch is a precondition: the object must still be the one we judged.
        body = {"metadata": {"uid": meta.uid(obj), "ownerReferences": refs}}
        try:
            return await self._client.patch(
                self._owned, meta.name(obj), body, meta.namespace(obj), type="strategic"
            )
        except (NotFound, Invalid):
            return None  # gone, or replaced by another of the same name


def is_terminating_namespace(error: ApiError) -> bool:
    """Whether a creation was refused because the namespace is going away: no use in trying again."""
    return any(cause.reason == "NamespaceTerminating" for cause in error.causes)
