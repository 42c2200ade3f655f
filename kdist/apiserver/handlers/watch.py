"""WATCH: the initial state if asked for, then changes as they happen, bookmarks in between.

Frames are written in batches: the first change of a quiet watch goes out at once, what follows within a few
milliseconds is collected into one write. With one write per event a thousand watchers cost most of a core.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import orjson

from kdist.api.errors import ApiError, BadRequest, Expired, InternalError
from kdist.api.meta import Obj
from kdist.apiserver import answers, negotiation
from kdist.apiserver.call import Call, partial_metadata
from kdist.apiserver.handlers import selection
from kdist.apiserver.handlers.read import cache_at_least, parse_version
from kdist.apiserver.handlers.selection import Selection
from kdist.storage.interface import Compacted, Unreadable
from kdist.storage.watchcache import Change, WatchCache, Watcher, watch_frame

BATCH_SECONDS = 0.005
BOOKMARK_SECONDS = 50.0
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
# (event type, body) -> the line to write
Encode = Callable[[str, bytes], bytes]


async def watch(call: Call) -> None:
    """Stream changes until the timeout, the client's going, or the server's stop."""
    selected = selection.of(call)
    form = negotiation.accepted(call.request.header(b"accept"), stream=True)
    encode = None if form.kind == "" and not call.store.converts else _encoder(call, form)
    initial = _sends_initial_events(call)
    version = call.request.param("resourceVersion")
    cache = await cache_at_least(call, version if version in ("", "0") or initial else "0")
    await call.send(answers.head(call.request, 200, "application/json"))
    await call.send({"type": "http.response.body", "body": b"", "more_body": True})
    stream = _Stream(call, cache, encode)
    try:
        watcher = _open(cache, selected, version, initial)
    except Compacted as error:
        await stream.fail(_too_old(version, error))
        return
    try:
        if initial or version in ("", "0"):
            await stream.initial(selected, initial)
        await stream.follow(watcher, _timeout(call))
    except Unreadable as error:
        await stream.fail(_unreadable(error))
    finally:
        cache.unwatch(watcher)


def _sends_initial_events(call: Call) -> bool:
    match = call.request.param("resourceVersionMatch")
    if "sendInitialEvents" not in call.request.query:
        if match:
            raise BadRequest(
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            )
        return False
    if match != "NotOlderThan":
        raise BadRequest("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    return call.request.flag("sendInitialEvents")


def _open(cache: WatchCache, selected: Selection, version: str, initial: bool) -> Watcher:
    since = None if initial or version in ("", "0") else parse_version(version)
    return cache.watch(selected.scope, selected.matches, since=since)


def _too_old(version: str, error: Compacted) -> Expired:
    return Expired(f"too old resource version: {version} ({error.oldest})")


def _unreadable(error: Unreadable) -> InternalError:
    return InternalError(f"Internal error occurred: {error}")


def _timeout(call: Call) -> float:
    asked = call.request.number("timeoutSeconds")
    if asked is not None and asked > 0:
        return float(asked)
    shortest = call.core.settings.min_request_timeout
    return shortest * (1 + random.random())


class _Stream:
    """The answer of one watch."""

    def __init__(self, call: Call, cache: WatchCache, encode: Encode | None) -> None:
        self._call, self._cache, self._encode = call, cache, encode
        self._bookmarks = call.request.flag("allowWatchBookmarks")
        self._sent = cache.revision  # the client has seen everything up to here

    async def _write(self, data: bytes, *, more: bool = True) -> None:
        await self._call.send({"type": "http.response.body", "body": data, "more_body": more})

    def _line(self, event_type: str, body: bytes) -> bytes:
        return (self._encode or watch_frame)(event_type, body)

    async def fail(self, error: ApiError) -> None:
        """End with an ERROR event: the headers are out already."""
        await self._write(watch_frame("ERROR", orjson.dumps(error.status())), more=False)

    async def initial(self, selected: Selection, marked: bool) -> None:
        """Everything that is there as ADDED events; ``marked`` closes them with the annotated bookmark."""
        entries = selected.candidates(self._cache)
        self._sent = self._cache.revision
        frames = (self._line("ADDED", e.body) for e in selected.select(entries))
        for chunk in list(answers.chunks(frames)):
            await self._write(chunk)
        if marked and self._bookmarks:
            await self._write(self._bookmark({INITIAL_EVENTS_END: "true"}))

    def _bookmark(self, annotations: dict[str, str] | None = None) -> bytes:
        resource = self._call.resource
        metadata: Obj = {"resourceVersion": str(self._sent), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        obj = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        return self._line("BOOKMARK", orjson.dumps(obj))

    async def follow(self, watcher: Watcher, timeout: float) -> None:
        """Write changes until the end."""
        gone = asyncio.create_task(self._client_gone(watcher), name="watch-client")
        try:
            await self._follow(watcher, time.monotonic() + timeout)
        finally:
            gone.cancel()

    async def _client_gone(self, watcher: Watcher) -> None:
        while (await self._call.request.receive())["type"] != "http.disconnect":
            pass
        watcher.end()

    async def _follow(self, watcher: Watcher, deadline: float) -> None:
        wrote = 0.0
        bookmark_at = time.monotonic() + BOOKMARK_SECONDS * random.uniform(0.9, 1.1)
        while True:
            now = time.monotonic()
            if not await watcher.wait(max(0.0, min(deadline, bookmark_at) - now)):
                if time.monotonic() >= deadline:
                    break
                bookmark_at = time.monotonic() + BOOKMARK_SECONDS
                self._sent = max(self._sent, self._cache.revision)
                if self._bookmarks:
                    await self._write(self._bookmark())
                continue
            since = time.monotonic() - wrote
            if since < BATCH_SECONDS and watcher.error is None:
                await asyncio.sleep(BATCH_SECONDS - since)
            await self._flush(watcher.take())
            wrote = time.monotonic()
            if watcher.error is not None:
                break
        await self._finish(watcher)

    async def _flush(self, changes: list[tuple[str, Change]]) -> None:
        if not changes:
            return
        if self._encode is None:
            lines = [change.frame(event_type) for event_type, change in changes]
        else:
            lines = [self._encode(event_type, change.body(event_type)) for event_type, change in changes]
        self._sent = changes[-1][1].revision
        await self._write(b"".join(lines))

    async def _finish(self, watcher: Watcher) -> None:
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


def _encoder(call: Call, form: negotiation.Form) -> Encode:
    """Frames of another version, of Tables or of metadata only."""
    store = call.store
    columns_sent = False

    def encode(event_type: str, body: bytes) -> bytes:
        nonlocal columns_sent
        is_bookmark = event_type == "BOOKMARK"
        obj: Obj = orjson.loads(body) if is_bookmark else store.decode(body)
        if form.kind == "Table":
            obj = call.transform([] if is_bookmark else [obj], form, _list_metadata(obj))
            if columns_sent:
                obj["columnDefinitions"] = None
            columns_sent = True
        elif form.kind:
            obj = partial_metadata(obj)
        return watch_frame(event_type, orjson.dumps(obj))

    return encode


def _list_metadata(obj: Obj) -> Obj:
    """The metadata of a one-row Table; a bookmark's annotation goes along."""
    metadata = obj["metadata"]
    kept: Obj = {"resourceVersion": metadata["resourceVersion"]}
    if INITIAL_EVENTS_END in (metadata.get("annotations") or {}):
        kept["annotations"] = metadata["annotations"]
    return kept
