"""WATCH: the initial state if asked for, then changes as they happen, bookmarks in between.

Who writes: usually the round of watches (:mod:`kdist.apiserver.handlers.rounds`), at once and without waking a task.
The watch's own task writes what is more than that: the initial state, other forms than plain JSON, bookmarks,
the end, and whatever the client does not take as fast as it comes. Never both: ``_busy`` is the task's turn.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence

import orjson

from kdist.api.errors import ApiError, Expired, InternalError, NotAcceptable, Timeout
from kdist.api.meta import Obj
from kdist.apiserver import answers, metrics, negotiation
from kdist.apiserver.call import Call, partial_metadata
from kdist.apiserver.handlers import listoptions, selection
from kdist.apiserver.handlers.listoptions import ListOptions
from kdist.apiserver.handlers.read import cache_at_least, parse_version
from kdist.apiserver.handlers.selection import Selection
from kdist.storage.interface import Compacted, Unreadable
from kdist.storage.watchcache import Change, WatchCache, Watcher, watch_frame

BOOKMARK_SECONDS = 50.0
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
# (event type, object in the request's version) -> the line to write
Encode = Callable[[str, Obj], bytes]
# Writes a piece of the answer now; False when that would mean waiting for the client.
Push = Callable[[bytes], bool]


async def watch(call: Call) -> None:
    """Stream changes until the timeout, the client's going, or the server's stop."""
    options = listoptions.of_watch(call.request)
    selected = selection.of(call)
    form = negotiation.streamed(call.request.header(b"accept"))
    encode = None if form.kind == "" and not call.store.converts else _encoder(call, form)
    version, initial = options.version, options.initial_events is True
    if version:
        parse_version(version)
    # As upstream: a Table cannot carry the mark that ends the beginning.
    if form.kind == "Table" and options.bookmarks and options.begins_with_state:
        raise NotAcceptable(negotiation.only_served())
    late: Timeout | None = None
    try:
        cache = await cache_at_least(call, version if version in ("", "0") or initial else "0")
    except Timeout as error:
        late, cache = error, await call.store.cache()
    await call.send(answers.head(call.request, 200, "application/json"))
    await call.send({"type": "http.response.body", "body": b"", "more_body": True})
    stream = _Stream(call, cache, encode, selected)
    if late is not None:
        await stream.fail(late)
        return
    try:
        watcher = _open(cache, selected, version, initial)
    except Compacted as error:
        await stream.fail(_too_old(version, error))
        return
    try:
        if options.begins_with_state:
            await stream.initial()
        call.request.initialized()
        await stream.follow(watcher, _timeout(call, options))
    except ApiError as error:  # of a conversion
        await stream.fail(error)
    except Unreadable as error:
        await stream.fail(_unreadable(error))
    finally:
        cache.unwatch(watcher)


def _open(cache: WatchCache, selected: Selection, version: str, initial: bool) -> Watcher:
    since = None if initial or version in ("", "0") else parse_version(version)
    return cache.watch(selected.scope, None if selected.of_served else selected.matches, since=since)


def _too_old(version: str, error: Compacted) -> Expired:
    return Expired(f"too old resource version: {version} ({error.oldest})")


def _unreadable(error: Unreadable) -> InternalError:
    return InternalError(f"Internal error occurred: {error}")


def _timeout(call: Call, options: ListOptions) -> float:
    if options.timeout:
        return float(options.timeout)
    shortest = call.core.settings.min_request_timeout
    return shortest * (1 + random.random())


class _Stream:
    """The answer of one watch."""

    def __init__(self, call: Call, cache: WatchCache, encode: Encode | None, selected: Selection) -> None:
        self._call, self._cache, self._encode, self._selected = call, cache, encode, selected
        self._bookmarks = call.request.flag("allowWatchBookmarks")
        # The client has seen everything up to here, perhaps at a server that is ahead of this one.
        self._sent = max(cache.revision, int(call.request.param("resourceVersion") or 0))
        self._push: Push | None = call.request.scope.get("extensions", {}).get("push")
        self._rounds = call.core.rounds
        self._watcher: Watcher | None = None
        self._busy = True
        self._queued = False
        self._unsent = b""  # what the round could not write
        self._attention = asyncio.Event()
        resource = call.resource
        self._events = metrics.WATCH_EVENTS.at(resource.group, resource.version, resource.kind)

    async def _write(self, data: bytes, *, more: bool = True) -> None:
        await self._call.send({"type": "http.response.body", "body": data, "more_body": more})

    async def _lines(self, events: Sequence[tuple[str, bytes]]) -> list[bytes]:
        if self._encode is None:
            return [watch_frame(event_type, body) for event_type, body in events]
        objects = await self._call.store.objects([body for _, body in events])
        return [self._encode(event_type, obj) for (event_type, _), obj in zip(events, objects, strict=True)]

    async def fail(self, error: ApiError) -> None:
        """End with an ERROR event: the headers are out already."""
        await self._write(watch_frame("ERROR", orjson.dumps(error.status())), more=False)

    async def initial(self) -> None:
        """Everything that is there as ADDED events, closed with the annotated bookmark."""
        entries = self._selected.candidates(self._cache)
        self._sent = self._cache.revision
        if self._selected.of_served:
            entries = await self._call.store.served_entries(entries)
        bodies = [e.body for e in self._selected.select(entries)]
        # Frames are made as the client takes them: a slow one must not hold a copy of everything.
        frames = (watch_frame("ADDED", body) for body in bodies) if self._encode is None else None
        for chunk in answers.chunks(frames or await self._lines([("ADDED", body) for body in bodies])):
            await self._write(chunk)
        if self._bookmarks:
            await self._write(self._bookmark({INITIAL_EVENTS_END: "true"}))

    def _bookmark(self, annotations: dict[str, str] | None = None) -> bytes:
        resource = self._call.resource
        metadata: Obj = {"resourceVersion": str(self._sent), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        obj = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        return self._encode("BOOKMARK", obj) if self._encode else watch_frame("BOOKMARK", orjson.dumps(obj))

    async def follow(self, watcher: Watcher, timeout: float) -> None:
        """Write changes until the end."""
        self._watcher = watcher
        watcher.on_pending = self._heard
        gone = asyncio.create_task(self._client_gone(watcher), name="watch-client")
        try:
            await self._follow(watcher, time.monotonic() + timeout)
        finally:
            gone.cancel()

    async def _client_gone(self, watcher: Watcher) -> None:
        while (await self._call.request.receive())["type"] != "http.disconnect":
            pass
        watcher.end()

    # ----- in rounds

    def _heard(self) -> None:
        if not self._queued:
            self._queued = True
            self._rounds.add(self)

    def speak(self) -> None:
        """Write what is pending, or leave it to the task."""
        watcher = self._watcher
        self._queued = False
        if self._busy or watcher is None:
            return
        if self._push is None or self._encode is not None or watcher.error is not None:
            self._call_task()
            return
        changes = watcher.take()
        self._events.value += len(changes)
        if not changes:
            return
        try:
            data = _joined(changes)
        except Unreadable as error:
            watcher.end(error)
            return
        self._sent = changes[-1][1].revision
        if not self._push(data):
            self._unsent = data
            self._call_task()

    def _call_task(self) -> None:
        self._busy = True
        self._attention.set()

    # ----- by the task

    async def _follow(self, watcher: Watcher, deadline: float) -> None:
        bookmark_at = time.monotonic() + BOOKMARK_SECONDS * random.uniform(0.9, 1.1)
        await self._catch_up(watcher)
        while watcher.error is None:
            called = await self._called(min(deadline, bookmark_at) - time.monotonic())
            await self._catch_up(watcher)
            if called:
                continue
            if time.monotonic() >= deadline:
                break
            bookmark_at = time.monotonic() + BOOKMARK_SECONDS
            self._sent = max(self._sent, self._cache.revision)
            if self._bookmarks:
                self._busy = True
                await self._write(self._bookmark())
                await self._catch_up(watcher)
        await self._finish(watcher)

    async def _called(self, timeout: float) -> bool:
        """Wait for the round to need the task; False after ``timeout`` seconds. The turn is the task's then."""
        try:
            async with asyncio.timeout(max(0.0, timeout)):
                await self._attention.wait()
        except TimeoutError:
            return False
        finally:
            self._busy = True
            self._attention.clear()
        return True

    async def _catch_up(self, watcher: Watcher) -> None:
        """Write until nothing is pending, and give the turn back."""
        data, self._unsent = self._unsent, b""
        while True:
            if data:
                await self._write(data)
            changes = watcher.take()
            if not changes:
                break
            self._events.value += len(changes)
            data = await self._encoded(changes)
            self._sent = changes[-1][1].revision
        self._busy = False

    async def _encoded(self, changes: list[tuple[str, Change]]) -> bytes:
        if self._encode is None:
            return _joined(changes)
        if self._selected.of_served:
            lines = await self._lines(await self._reselected([change for _, change in changes]))
        else:
            lines = await self._lines(
                [(event_type, change.body(event_type)) for event_type, change in changes]
            )
        return b"".join(lines)

    async def _reselected(self, changes: list[Change]) -> list[tuple[str, bytes]]:
        """The changes as they concern the selection, which judges objects in the request's version."""
        states = [entry for change in changes for entry in (change.before, change.after) if entry is not None]
        served = iter(await self._call.store.served_entries(states))
        watcher = Watcher("", self._selected.matches)
        for change in changes:
            before = next(served) if change.before is not None else None
            after = next(served) if change.after is not None else None
            watcher.offer(Change(change.key, change.revision, before, after, change.at))
        return [(event_type, change.body(event_type)) for event_type, change in watcher.take()]

    async def _finish(self, watcher: Watcher) -> None:
        self._busy = True
        if isinstance(watcher.error, Compacted):
            await self.fail(_too_old(str(self._sent), watcher.error))
            return
        if isinstance(watcher.error, Unreadable):
            await self.fail(_unreadable(watcher.error))
            return
        tail = b""
        if self._bookmarks and watcher.error is None:
            self._sent = max(self._sent, self._cache.revision)
            tail = self._bookmark()
        await self._write(tail, more=False)


def _joined(changes: list[tuple[str, Change]]) -> bytes:
    """The lines of changes as plain JSON. Unreadable."""
    return b"".join([change.frame(event_type) for event_type, change in changes])


def _encoder(call: Call, form: negotiation.Form) -> Encode:
    """Frames of another version, of Tables or of metadata only."""
    columns_sent = False

    def encode(event_type: str, obj: Obj) -> bytes:
        nonlocal columns_sent
        is_bookmark = event_type == "BOOKMARK"
        if form.kind == "Table":
            obj = call.transform([] if is_bookmark else [obj], form, _list_metadata(obj))
            if columns_sent:
                obj["columnDefinitions"] = None
            columns_sent = True
        elif form.kind:
            obj = partial_metadata(obj, form)
        return watch_frame(event_type, orjson.dumps(obj))

    return encode


def _list_metadata(obj: Obj) -> Obj:
    """The metadata of a one-row Table; a bookmark's annotation goes along."""
    metadata = obj["metadata"]
    kept: Obj = {"resourceVersion": metadata["resourceVersion"]}
    if INITIAL_EVENTS_END in (metadata.get("annotations") or {}):
        kept["annotations"] = metadata["annotations"]
    return kept
