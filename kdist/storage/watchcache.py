"""The watch cache of one resource: encoded objects, a small index, a bounded window of events, the watchers.

Objects stay bytes: 50,000 pods are 225 MB as bytes and five times that as dicts, and a list is a join of
bytes. The index holds what selection needs (labels, selectable fields). The :class:`kdist.storage.hub.Hub` feeds
every cache of the process from one watch, so that all caches are always at the same revision.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from kdist.storage import body as bodies
from kdist.storage.index import Indexes, Term
from kdist.storage.interface import Compacted, Event, KeyValue, Unreadable

Labels = Mapping[str, str]
# object -> its selectable fields
FieldsOf = Callable[[dict[str, Any]], dict[str, str]]

_END = "\U0010ffff"
WINDOW_SECONDS = 75.0  # a watcher that reconnects within this time misses nothing
WINDOW_MIN, WINDOW_MAX = 100, 10_000
PENDING_MAX = 20_000  # events a slow watcher may lag behind before it is ended
_NO_LABELS: dict[str, str] = {}


class Entry:
    """One object: ``body`` includes its resourceVersion; ``labels`` and ``fields`` are for selection."""

    __slots__ = ("body", "fields", "key", "labels", "revision")

    def __init__(self, key: str, body: bytes, revision: int, labels: Labels, fields: Labels) -> None:
        self.key, self.body, self.revision = key, body, revision
        self.labels, self.fields = labels, fields


class BrokenEntry(Entry):
    """An object whose value cannot be read: whoever wants its body is told why."""

    __slots__ = ("error",)

    def __init__(self, key: str, revision: int, error: str) -> None:
        self.key, self.revision, self.error = key, revision, error
        self.labels = self.fields = _NO_LABELS

    @property
    def body(self) -> bytes:  # type: ignore[override]
        """Raises Unreadable."""
        raise Unreadable(self.key, self.error)


class Change:
    """One event of the window, with the state before and after; frames are encoded once for all watchers."""

    __slots__ = ("_frames", "after", "at", "before", "key", "revision")

    def __init__(self, key: str, revision: int, before: Entry | None, after: Entry | None, at: float) -> None:
        self.key, self.revision, self.before, self.after, self.at = key, revision, before, after, at
        self._frames: dict[str, bytes] = {}

    def body(self, event_type: str) -> bytes:
        """The object that goes with an event type: a DELETED one is the last state at this revision."""
        if event_type == "DELETED":
            assert self.before is not None
            return bodies.at_revision(self.before.body, self.revision)
        assert self.after is not None
        return self.after.body

    def frame(self, event_type: str) -> bytes:
        """The line of a JSON watch for this change."""
        frame = self._frames.get(event_type)
        if frame is None:
            frame = self._frames[event_type] = watch_frame(event_type, self.body(event_type))
        return frame


def watch_frame(event_type: str, body: bytes) -> bytes:
    """``{"type":...,"object":...}`` and a newline."""
    return b'{"type":"%b","object":%b}\n' % (event_type.encode(), body)


def _nobody() -> None:
    pass


class Watcher:
    """One watch: collects changes that concern its selection until its handler takes them.

    ``on_pending`` is called when there is something to take, or ``error`` ended the watch; it must not block.
    """

    __slots__ = ("_matches", "error", "on_pending", "pending", "scope")

    def __init__(self, scope: str, matches: Callable[[Entry], bool] | None) -> None:
        self.scope = scope
        self._matches = matches
        self.on_pending: Callable[[], None] = _nobody
        self.pending: list[tuple[str, Change]] = []
        self.error: Exception | None = None

    def offer(self, change: Change) -> None:
        """Queue the change as this watcher sees it: an object that starts or stops matching comes or goes."""
        before, after = change.before, change.after
        if self._matches is not None:
            before = before if before is not None and self._matches(before) else None
            after = after if after is not None and self._matches(after) else None
        if after is not None:
            self.pending.append(("MODIFIED" if before is not None else "ADDED", change))
        elif before is not None:
            self.pending.append(("DELETED", change))
        else:
            return
        if len(self.pending) > PENDING_MAX:
            self.end(Compacted(change.revision))
        self.on_pending()

    def end(self, error: Exception | None = None) -> None:
        """Let the handler finish: after the pending changes, with the error when there is one."""
        self.error = error or StopAsyncIteration()
        self.on_pending()

    def take(self) -> list[tuple[str, Change]]:
        """The pending (event type, change) pairs; they are the caller's now."""
        taken, self.pending = self.pending, []
        return taken


class _LaterWatcher(Watcher):
    """A watch from a revision that is not here yet: its client has seen it at another server, and all before."""

    __slots__ = ("_since",)

    def __init__(self, scope: str, matches: Callable[[Entry], bool] | None, since: int) -> None:
        super().__init__(scope, matches)
        self._since = since

    def offer(self, change: Change) -> None:
        if change.revision > self._since:
            super().offer(change)


class WatchCache:
    """All objects under one key prefix. Reads are synchronous and see one revision."""

    def __init__(self, prefix: str, fields_of: FieldsOf) -> None:
        self.prefix = prefix
        self.revision = 0
        self.loaded = False
        self._loaded_at = 0
        self._fields_of = fields_of
        self._entries: dict[str, Entry] = {}
        self._keys: list[str] = []
        self._indexes = Indexes(self._entries)
        self._window: deque[Change] = deque()
        self._window_start = 0  # changes after this revision are in the window
        self._watchers: dict[str, set[Watcher]] = {}
        self._listeners: list[Callable[[Change], None]] = []
        self._early: list[Event] = []  # arrived while the first list was under way
        self._broken: set[str] = set()  # keys whose values cannot be read

    # ----- feeding (the hub's side)

    def load(self, items: Sequence[KeyValue], revision: int) -> None:
        """Become what a list at ``revision`` said; ends the watchers when events were lost."""
        lost = self.loaded
        wanted = {kv.key: kv for kv in items}
        gone = [Event(key, None, revision) for key in self._entries if key not in wanted]
        changed = [
            Event(kv.key, kv.value, kv.revision, kv.error)
            for kv in items
            if (have := self._entries.get(kv.key)) is None or have.revision != kv.revision
        ]
        for event in (*gone, *changed):
            self._notify(self._store(event, 0.0))
        self._window.clear()
        self._window_start = self._loaded_at = self.revision = revision
        self.loaded = True
        early, self._early = self._early, []
        self.apply(early)
        if lost:
            for watcher in self._all_watchers():
                watcher.end(Compacted(revision))

    def apply(self, events: Iterable[Event]) -> None:
        """Take in events of one or more revisions, in order; before the first load they are kept for it."""
        if not self.loaded:
            self._early.extend(events)
            return
        now = time.monotonic()
        for event in events:
            if event.revision <= self._loaded_at:  # the load has seen it
                continue
            change = self._store(event, now)
            if change.before is None and change.after is None:
                continue
            self._window.append(change)
            self._offer(change)
            self._notify(change)
        self._trim(now)

    @property
    def broken(self) -> frozenset[str]:
        """Keys of the objects whose values cannot be read."""
        return frozenset(self._broken)

    def mend(self, stored: KeyValue) -> None:
        """Take in a value that can be read now, unless another one has come meanwhile."""
        have = self._entries.get(stored.key)
        if stored.error or stored.key not in self._broken or have is None or have.revision != stored.revision:
            return
        self._notify(self._store(Event(stored.key, stored.value, stored.revision), 0.0))

    def _store(self, event: Event, now: float) -> Change:
        before = self._entries.get(event.key)
        after = None
        if event.value is not None:
            after = self._entries[event.key] = self._entry(event)
            if before is None:
                insort(self._keys, event.key)
        elif before is not None:
            del self._entries[event.key]
            del self._keys[bisect_left(self._keys, event.key)]
        self._indexes.changed(event.key, before, after)
        if event.error or self._broken:
            (self._broken.add if event.error else self._broken.discard)(event.key)
        return Change(event.key, event.revision, before, after, now)

    def _entry(self, event: Event) -> Entry:
        if event.error:
            return BrokenEntry(event.key, event.revision, event.error)
        assert event.value is not None
        obj = orjson.loads(event.value)
        labels = obj["metadata"].get("labels") or _NO_LABELS
        body = bodies.with_revision(event.value, event.revision)
        return Entry(event.key, body, event.revision, labels, self._fields_of(obj))

    def _trim(self, now: float) -> None:
        window = self._window
        while len(window) > WINDOW_MIN and (len(window) > WINDOW_MAX or window[0].at < now - WINDOW_SECONDS):
            self._window_start = window.popleft().revision

    def _offer(self, change: Change) -> None:
        relative = change.key[len(self.prefix) :]
        namespace, slash, _ = relative.rpartition("/")
        for scope in ("", namespace + slash, relative) if slash else ("", relative):
            for watcher in self._watchers.get(scope, ()):
                if isinstance(change.after, BrokenEntry):  # not to be taken for a deletion
                    watcher.end(Unreadable(change.key, change.after.error))
                else:
                    watcher.offer(change)

    def _notify(self, change: Change) -> None:
        for listener in self._listeners:
            listener(change)

    # ----- reading

    def get(self, key: str) -> Entry | None:
        """One entry by its full key."""
        return self._entries.get(key)

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self, scope: str = "", *, after: str = "") -> Iterator[Entry]:
        """Entries in key order below ``scope`` (``""`` or ``"namespace/"``), beyond the key ``after``.

        Raises :class:`Unreadable` for the first one that cannot be read: a list without it would be a lie.
        """
        if self._broken:
            self._refuse_broken(self.prefix + scope)
        first, last = self._range(scope, after)
        entries = self._entries
        for key in self._keys[first:last]:
            yield entries[key]

    def page(self, scope: str, after: str, limit: int) -> tuple[list[Entry], int]:
        """The first ``limit`` of :meth:`entries`, and how many follow."""
        if self._broken:
            self._refuse_broken(self.prefix + scope)
        first, last = self._range(scope, after)
        end = min(first + limit, last)
        entries = self._entries
        return [entries[key] for key in self._keys[first:end]], last - end

    def having(self, term: Term, values: Iterable[str], scope: str = "") -> list[Entry]:
        """The entries of :meth:`entries` that have one of the values under a label or field."""
        low = self.prefix + scope
        if self._broken:
            self._refuse_broken(low)
        entries = self._entries
        return [entries[key] for key in self._indexes.keys(term, values) if key.startswith(low)]

    def _refuse_broken(self, low: str) -> None:
        for key in sorted(self._broken):
            broken = self._entries[key]
            if key.startswith(low) and isinstance(broken, BrokenEntry):
                raise Unreadable(key, broken.error)

    def _range(self, scope: str, after: str) -> tuple[int, int]:
        low = self.prefix + scope
        first = bisect_left(self._keys, after + "\0") if after > low else bisect_left(self._keys, low)
        return first, bisect_left(self._keys, low + _END) if scope else len(self._keys)

    def entries_at(self, revision: int, scope: str = "") -> list[Entry]:
        """Entries as they were at an older revision. Raises :class:`Compacted` beyond the window."""
        if revision < self._window_start:
            raise Compacted(self._window_start)
        low = self.prefix + scope
        state = {e.key: e for e in self.entries(scope) if e.key.startswith(low)}
        for change in reversed(self._window):
            if change.revision <= revision:
                break
            if not change.key.startswith(low):
                continue
            if change.before is None:
                state.pop(change.key, None)
            else:
                state[change.key] = change.before
        return [state[key] for key in sorted(state)]

    def unchanged_since(self, revision: int) -> bool:
        """Whether the current state is also that of ``revision``."""
        if revision < self._window_start:
            return False
        return not self._window or self._window[-1].revision <= revision

    # ----- watching

    def watch(self, scope: str, matches: Callable[[Entry], bool] | None, *, since: int | None) -> Watcher:
        """A watcher of ``""``, ``"namespace/"`` or one ``"namespace/name"``.

        It begins with the changes after revision ``since`` (None: from now on). Raises :class:`Compacted`
        when the window does not reach back that far. Must be given back to :meth:`unwatch`.
        """
        later = since is not None and since > self.revision
        watcher = _LaterWatcher(scope, matches, since or 0) if later else Watcher(scope, matches)
        if since is not None:
            if since < self._window_start:
                raise Compacted(self._window_start)
            full = self.prefix + scope
            exact = bool(scope) and not scope.endswith("/")
            for change in self._since(since):
                if change.key == full or (not exact and change.key.startswith(full)):
                    watcher.offer(change)
        self._watchers.setdefault(scope, set()).add(watcher)
        return watcher

    def _since(self, revision: int) -> list[Change]:
        recent: list[Change] = []
        for change in reversed(self._window):
            if change.revision <= revision:
                break
            recent.append(change)
        recent.reverse()
        return recent

    def unwatch(self, watcher: Watcher) -> None:
        """Forget a watcher."""
        watchers = self._watchers.get(watcher.scope, set())
        watchers.discard(watcher)
        if not watchers:
            self._watchers.pop(watcher.scope, None)

    def _all_watchers(self) -> list[Watcher]:
        return [w for group in self._watchers.values() for w in group]

    def end_watches(self) -> None:
        """End every watch: the server stops, or the resource is gone."""
        for watcher in self._all_watchers():
            watcher.end()

    @property
    def watcher_count(self) -> int:
        """How many watches are open."""
        return sum(len(group) for group in self._watchers.values())

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Call ``listener`` for every object there is, then for every change. It must not block."""
        for entry in self._entries.values():
            listener(Change(entry.key, entry.revision, None, entry, 0.0))
        self._listeners.append(listener)
