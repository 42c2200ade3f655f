"""ControllerRevisions: the numbered history of a DaemonSet's or StatefulSet's template.

A revision's data is a patch that puts the template back: ``{"spec": {"template": {..., "$patch": "replace"}}}``,
which is what ``kubectl rollout undo`` applies.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import orjson

from kdist.api import meta
from kdist.api.errors import AlreadyExists, Conflict, NotFound
from kdist.api.kinds import CONTROLLER_REVISIONS, Kind
from kdist.api.meta import Obj
from kdist.api.selectors import LabelSelector, from_label_selector
from kdist.client.informer import Informer
from kdist.client.rest import Client
from kdist.controllers.hashing import canonical, short_hash
from kdist.controllers.ownership import Owner, candidates

REVISION_LABEL = "controller-revision-hash"


def template_data(owner: Obj) -> Obj:
    """The data of the owner's current template."""
    return _written_out({"spec": {"template": {**deepcopy(owner["spec"]["template"]), "$patch": "replace"}}})


def _written_out(data: Obj) -> Obj:
    """The data byte for byte as clients write it: keys in order, empty structs spelled out.

    Clients find the revision of a template by comparing its bytes with their own. Changes its argument.
    """
    template = meta.get(data, "spec.template", {})
    template.setdefault("metadata", {}).setdefault("creationTimestamp", None)
    spec = template.get("spec") or {}
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        container.setdefault("resources", {})
    for volume in spec.get("volumes") or ():
        if claim := meta.get(volume, "ephemeral.volumeClaimTemplate"):
            claim.setdefault("metadata", {}).setdefault("creationTimestamp", None)
            claim["spec"].setdefault("resources", {})
    ordered: Obj = orjson.loads(orjson.dumps(data, option=orjson.OPT_SORT_KEYS))
    return ordered


def label_of(revision: Obj) -> str:
    """The value of REVISION_LABEL on pods of this revision."""
    return meta.labels(revision).get(REVISION_LABEL) or meta.name(revision)


def by_number(revisions: list[Obj]) -> list[Obj]:
    """Oldest first."""
    return sorted(
        revisions,
        key=lambda r: (
            r.get("revision", 0),
            meta.get(r, "metadata.creationTimestamp", ""),
            meta.name(r),
        ),
    )


def find_equal(data: Obj, revisions: list[Obj]) -> Obj | None:
    """The newest revision with that data."""
    wanted = canonical(data)
    return next((r for r in reversed(by_number(revisions)) if canonical(r.get("data")) == wanted), None)


def make(owner: Obj, kind: Kind, number: int, *, label: str, collisions: int) -> Obj:
    """The revision of the owner's current template, to be created. ``label``: the form of its hash label."""
    data = template_data(owner)
    digest = short_hash(data, collisions)
    name = f"{meta.name(owner)}-{digest}"
    labels = dict(meta.get(owner, "spec.template.metadata.labels", {}))
    return {
        "metadata": {
            "name": name,
            "namespace": meta.namespace(owner),
            "labels": {**labels, REVISION_LABEL: digest if label == "hash" else name},
            "annotations": dict(meta.annotations(owner)),
            "ownerReferences": [meta.owner_ref(owner, kind)],
        },
        "data": data,
        "revision": number,
    }


def expendable(revisions: list[Obj], live: set[str], limit: int | None) -> list[Obj]:
    """The oldest revisions beyond the limit that are not ``live`` (by name)."""
    if limit is None:
        return []
    old = [r for r in by_number(revisions) if meta.name(r) not in live]
    return old[: max(0, len(old) - limit)]


class NameTaken(Conflict):
    """Another revision has the name: count a collision in the owner's status and try again."""


@dataclass(frozen=True, slots=True)
class History:
    """All revisions of one owner, and the one of its current template."""

    revisions: list[Obj]
    current: Obj


class Revisions:
    """The revisions of one kind of owner on the server."""

    def __init__(self, client: Client, informer: Informer, kind: Kind, *, label: str) -> None:
        self._client, self._informer, self._kind, self._label = client, informer, kind, label
        self._owner = Owner(client, kind, CONTROLLER_REVISIONS)

    async def sync(self, owner: Obj, selector: LabelSelector | None = None) -> History:
        """Find or write the revision of the current template. Raises NameTaken."""
        selector = selector or from_label_selector(owner["spec"]["selector"])
        known = await self._owner.claim(owner, selector, candidates(self._informer, owner))
        newest = max((r.get("revision", 0) for r in known), default=0)
        equal = find_equal(template_data(owner), known)
        if equal is None:
            collisions = meta.get(owner, "status.collisionCount", 0)
            wanted = make(owner, self._kind, newest + 1, label=self._label, collisions=collisions)
            current = await self._create(owner, wanted)
        elif equal.get("revision", 0) < newest:
            # A rollback: the old template is the newest again.
            current = await self._client.update(CONTROLLER_REVISIONS, {**equal, "revision": newest + 1})
        else:
            current = equal
        others = [r for r in known if meta.name(r) != meta.name(current)]
        return History([*others, current], current)

    async def _create(self, owner: Obj, wanted: Obj) -> Obj:
        try:
            return await self._client.create(CONTROLLER_REVISIONS, wanted)
        except AlreadyExists as error:
            found = await self._client.get(CONTROLLER_REVISIONS, meta.name(wanted), meta.namespace(wanted))
            ours = (meta.controller_of(found) or {}).get("uid") == meta.uid(owner)
            if ours and canonical(found.get("data")) == canonical(wanted["data"]):
                return found
            raise NameTaken(f"{meta.name(wanted)} is taken") from error

    async def clean_up(self, history: History, live: set[str], limit: int | None) -> None:
        """Delete what is beyond the limit."""
        keep = {*live, meta.name(history.current)}
        for revision in expendable(history.revisions, keep, limit):
            try:
                await self._client.delete(CONTROLLER_REVISIONS, meta.name(revision), meta.namespace(revision))
            except NotFound:
                continue
