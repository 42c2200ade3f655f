"""What a controller wrote but has not seen in its cache yet.

A controller that creates pods and looks at a cache a moment later would not find them and create them again.
So it notes the uid of every pod it created or deleted, and does not decide about the owner until the watch has
delivered each of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from kdist.api import meta
from kdist.api.meta import Obj

# A watch event that does not come within this time was missed: trust the cache again.
EXPIRES_SECONDS = 300.0


@dataclass(slots=True)
class _Pending:
    created: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    since: float = 0.0


class Expectations:
    """Pending writes by owner key. Feed :meth:`saw` from the informer of what is created."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pending: dict[str, _Pending] = {}
        self._writers = 0
        self._seen_while_writing: set[tuple[str, bool]] = set()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around requests whose answers are noted: an event may overtake the answer that tells the uid."""
        self._writers += 1
        try:
            yield
        finally:
            self._writers -= 1
            if not self._writers:
                self._seen_while_writing.clear()

    def created(self, owner: str, obj: Obj) -> None:
        """``obj`` was created for the owner."""
        if (meta.uid(obj), False) not in self._seen_while_writing:
            self._of(owner).created.add(meta.uid(obj))

    def deleted(self, owner: str, obj: Obj) -> None:
        """The deletion of ``obj`` was asked for."""
        if (meta.uid(obj), True) not in self._seen_while_writing:
            self._of(owner).deleted.add(meta.uid(obj))

    def saw(self, old: Obj | None, new: Obj | None) -> None:
        """An informer's handler: whatever state it shows, the object was created; maybe it is going."""
        obj = new or old or {}
        uid, going = meta.uid(obj), new is None or meta.is_deleting(obj)
        if self._writers:
            self._seen_while_writing.add((uid, False))
            if going:
                self._seen_while_writing.add((uid, True))
        for pending in self._pending.values():
            pending.created.discard(uid)
            if going:
                pending.deleted.discard(uid)

    def satisfied(self, owner: str) -> bool:
        """Whether the cache shows everything that was written for the owner."""
        pending = self._pending.get(owner)
        if pending is None:
            return True
        waiting = pending.created or pending.deleted
        if waiting and self._clock() - pending.since < EXPIRES_SECONDS:
            return False
        del self._pending[owner]
        return True

    def forget(self, owner: str) -> None:
        """The owner is gone."""
        self._pending.pop(owner, None)

    def _of(self, owner: str) -> _Pending:
        pending = self._pending.setdefault(owner, _Pending())
        pending.since = self._clock()
        return pending
