"""GET: one object, or a collection, from the watch cache."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from kdist.api import errors
from kdist.api.errors import BadRequest, Cause, Expired
from kdist.api.meta import Obj
from kdist.apiserver import answers
from kdist.apiserver.answers import Items
from kdist.apiserver.call import Call
from kdist.apiserver.handlers import listoptions, paging, selection
from kdist.apiserver.handlers.listoptions import ListOptions
from kdist.apiserver.handlers.paging import Page
from kdist.apiserver.handlers.selection import Selection
from kdist.apiserver.store import storage_errors
from kdist.storage import body as bodies
from kdist.storage import interface as storage
from kdist.storage.interface import KeyValue
from kdist.storage.watchcache import Entry, WatchCache

FUTURE_WAIT = 3.0  # seconds to wait for a resourceVersion that is not here yet


async def get(call: Call) -> None:
    """One object: the newest, or with a resourceVersion at least as new as that."""
    cache = await cache_at_least(call, call.request.param("resourceVersion"))
    entry = cache.get(call.store.key(call.namespace, call.name))
    if entry is None:
        raise call.store.not_found(call.name)
    await call.reply_entry(entry)


async def list_(call: Call) -> None:
    """A collection, whole or in pages."""
    selected, options = selection.of(call), listoptions.of_list(call.request)
    call.form.refuse_single(call.resource)
    page, revision = await (_continued if options.token else _first)(call, selected, options)
    await _send_list(call, selected, page, revision)


async def cache_at_least(call: Call, version: str) -> WatchCache:
    """The cache: fresh without a version, as it is for "0", else when it has reached the version."""
    if not version:
        return await call.store.fresh_cache()
    wanted = parse_version(version)
    cache = await call.store.cache()
    if wanted <= cache.revision:
        return cache
    try:
        await call.core.hub.reach(wanted, timeout=FUTURE_WAIT)
    except TimeoutError as error:
        told = f"Too large resource version: {wanted}, current: {cache.revision}"
        cause = Cause("", "Too large resource version", "ResourceVersionTooLarge")
        raise errors.Timeout(f"Timeout: {told}", causes=(cause,), details={"retryAfterSeconds": 1}) from error
    return cache


def parse_version(text: str) -> int:
    """A resourceVersion parameter. BadRequest when it is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise errors.Invalid(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


async def _first(call: Call, selected: Selection, options: ListOptions) -> tuple[Page, int]:
    cache = await cache_at_least(call, options.version)
    if options.is_exact:
        revision = parse_version(options.version)
        entries = await _entries_at(call, cache, selected, revision)
        return await _cut(call, selected, entries, options.limit), revision
    limit = 0 if options.version == "0" else options.limit  # as upstream: any state will do, so all of it
    return await _newest(call, selected, cache, limit), cache.revision


async def _continued(call: Call, selected: Selection, options: ListOptions) -> tuple[Page, int]:
    if options.version not in ("", "0"):
        raise BadRequest("specifying resource version is not allowed when using continue")
    revision, start = paging.decode_continue(options.token)
    cache = await call.store.fresh_cache()
    after = _base(cache, selected) + start.removesuffix("\0")
    if revision == paging.NEWEST:  # the client accepted an inconsistent continuation
        return await _newest(call, selected, cache, options.limit, after=after), cache.revision
    try:
        entries = await _entries_at(call, cache, selected, revision)
    except Expired as error:
        raise paging.expired(start) from error
    rest = [entry for entry in entries if entry.key > after]
    return await _cut(call, selected, rest, options.limit), revision


async def _newest(call: Call, selected: Selection, cache: WatchCache, limit: int, *, after: str = "") -> Page:
    """A page of the cache as it is; without a selection the rest is not even looked at."""
    if limit and selected.matches is None and not selected.of_served and selected.is_range:
        entries, remaining = cache.page(selected.scope, after, limit)
        last = entries[-1].key if remaining else ""
        return Page(entries, last, remaining or None, whole=True)
    entries = selected.candidates(cache)
    return await _cut(call, selected, [e for e in entries if e.key > after] if after else entries, limit)


async def _cut(call: Call, selected: Selection, entries: list[Entry], limit: int) -> Page:
    if selected.of_served:
        entries = await call.store.served_entries(entries)
    return Page.cut(entries, selected, limit)


def _base(cache: WatchCache, selected: Selection) -> str:
    """The key prefix of what is listed."""
    return cache.prefix + selected.range


async def _entries_at(call: Call, cache: WatchCache, selected: Selection, revision: int) -> list[Entry]:
    """The state at an older revision: the cache's own if nothing changed, its window's, else storage's.

    What storage has forgotten is Expired whatever the cache knows: every server gives the same answer.
    """
    if revision < call.core.compacted:
        raise Expired(f"The resourceVersion {revision} is too old: it has been compacted")
    if cache.unchanged_since(revision):
        return selected.candidates(cache)
    try:
        return cache.entries_at(revision, selected.scope)
    except storage.Compacted:
        with storage_errors():
            page = await call.core.storage.list(cache.prefix + selected.scope, revision=revision)
    return [_entry(call, kv) for kv in page.items]


def _entry(call: Call, kv: KeyValue) -> Entry:
    obj = orjson.loads(kv.value)
    labels = obj["metadata"].get("labels") or {}
    body = bodies.with_revision(kv.value, kv.revision)
    return Entry(kv.key, body, kv.revision, labels, call.store.strategy.fields(obj))


# ----- answers


async def _send_list(call: Call, selected: Selection, page: Page, revision: int) -> None:
    metadata: Obj = {"resourceVersion": str(revision)}
    if call.store.strategy.shapes_reads and not call.form.kind:  # as upstream has it for custom resources
        metadata["continue"] = ""
    if page.last:
        metadata["continue"] = page.token(revision, call.resource.storage_prefix + selected.range)
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
    form, store = call.form, call.store
    if not form.plain or call.request.pretty:
        objects = await store.objects([entry.body for entry in page.entries])
        rendered = (
            call.transform(objects, form, metadata)
            if form.kind
            else list_object(call, [store.item_of(obj) for obj in objects], metadata)
        )
        await answers.send_object(call.request, call.send, rendered, form)
        return
    await _send_plain(call, page, _list_head(call, metadata))


async def _send_plain(call: Call, page: Page, head: bytes) -> None:
    request, store = call.request, call.store
    cached: Sequence[bytes] = [entry.body for entry in page.entries]
    if page.entries:
        head += b"{"
    if not store.converts and page.whole and answers.is_packed(request, sum(map(len, cached))):
        await answers.send_packed(request, call.send, store.packer.pack(head, page.entries, _LIST_TAIL))
        return
    items = Items([store.item(body) for body in await store.bodies_of(cached)], store.between)
    await answers.send_list(request, call.send, head, items, _LIST_TAIL)


_LIST_TAIL = b"]}\n"


def _list_head(call: Call, metadata: Obj) -> bytes:
    """Everything of a list before its first object."""
    return orjson.dumps(list_object(call, [], metadata))[:-2]


def list_object(call: Call, objects: list[Obj], metadata: Obj) -> Obj:
    """A list in the classic form."""
    return {
        "kind": call.resource.list_kind,
        "apiVersion": call.resource.api_version,
        "metadata": metadata,
        "items": objects,
    }
