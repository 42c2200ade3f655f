"""GET: one object, or a collection, from the watch cache."""

from __future__ import annotations

import base64
import binascii

import orjson

from kdist.api import errors
from kdist.api.errors import BadRequest, Cause, Expired
from kdist.api.meta import Obj
from kdist.apiserver import answers
from kdist.apiserver.call import Call
from kdist.apiserver.handlers import selection
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
    selected = selection.of(call)
    limit = call.request.number("limit") or 0
    token = call.request.param("continue")
    if token:
        entries, revision, start = await _continued(call, selected, token)
    else:
        entries, revision = await _first(call, selected)
        start = ""
    if selected.of_served:
        entries = await call.store.served_entries(entries)
    page = _Page.cut(entries, selected, limit, start)
    await _send_list(call, page, revision)


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
    if not text.isdigit():
        raise errors.Invalid(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


async def _first(call: Call, selected: Selection) -> tuple[list[Entry], int]:
    version, match = call.request.param("resourceVersion"), call.request.param("resourceVersionMatch")
    _check_match(version, match)
    exact = match == "Exact" or (not match and version not in ("", "0") and bool(call.request.param("limit")))
    cache = await cache_at_least(call, version)
    if exact:
        revision = parse_version(version)
        return await _entries_at(call, cache, selected, revision), revision
    return selected.candidates(cache), cache.revision


def _check_match(version: str, match: str) -> None:
    told, reason = "", "FieldValueForbidden"
    if match not in ("", "Exact", "NotOlderThan"):
        told = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""'
        reason = "FieldValueNotSupported"
    elif match and not version:
        told = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
    elif match == "Exact" and version == "0":
        told = 'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
    if told:
        raise errors.invalid("meta.k8s.io", "ListOptions", "", [Cause("resourceVersionMatch", told, reason)])


async def _entries_at(call: Call, cache: WatchCache, selected: Selection, revision: int) -> list[Entry]:
    """The state at an older revision: the cache's own if nothing changed, its window's, else storage's."""
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


# ----- pages


async def _continued(call: Call, selected: Selection, token: str) -> tuple[list[Entry], int, str]:
    if call.request.param("resourceVersion") not in ("", "0"):
        raise BadRequest("specifying resource version is not allowed when using continue")
    revision, start = decode_continue(token)
    cache = await call.store.fresh_cache()
    if revision < 0:  # the client accepted an inconsistent continuation
        return selected.candidates(cache), cache.revision, start
    try:
        return await _entries_at(call, cache, selected, revision), revision, start
    except Expired as error:
        raise _expired_continue(start) from error


def encode_continue(revision: int, start: str) -> str:
    """The opaque token that goes on after key ``start`` as of ``revision`` (-1: as of whenever)."""
    token = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start})
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def decode_continue(token: str) -> tuple[int, str]:
    """(revision, start) of a token. BadRequest when it is none of ours."""
    try:
        value = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(value["rv"]), str(value["start"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise BadRequest(f"continue key is not valid: {error}") from error


def _expired_continue(start: str) -> Expired:
    error = Expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new "
        "list without the continue parameter, or use the continue token in this response to retrieve the "
        "remainder of the results. Continuing with the provided token results in an inconsistent list - objects "
        "that were created, modified, or deleted between the time the first chunk was returned and now may show "
        "up in the list."
    )
    error.metadata = {"continue": encode_continue(-1, start)}
    return error


class _Page:
    """One page of a list: its entries, the key to go on after, and how many remain (None: unknown).

    ``whole`` says that nothing was selected: neighbours in the page are neighbours in storage.
    """

    def __init__(self, entries: list[Entry], last: str, remaining: int | None, *, whole: bool) -> None:
        self.entries, self.last, self.remaining, self.whole = entries, last, remaining, whole

    @classmethod
    def cut(cls, entries: list[Entry], selected: Selection, limit: int, start: str) -> _Page:
        """The first ``limit`` matching entries after ``start``."""
        if start:
            entries = [e for e in entries if e.key > start]
        matching, whole = selected.select(entries), selected.matches is None
        if not limit or len(matching) <= limit:
            return cls(matching, "", None, whole=whole)
        kept = matching[:limit]
        return cls(kept, kept[-1].key, len(matching) - limit if whole else None, whole=whole)


async def _send_list(call: Call, page: _Page, revision: int) -> None:
    metadata: Obj = {"resourceVersion": str(revision)}
    if page.last:
        metadata["continue"] = encode_continue(revision, page.last)
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
    form, store = call.form, call.store
    if not form.plain or call.request.pretty:
        objects = await store.objects([entry.body for entry in page.entries])
        rendered = (
            call.transform(objects, form, metadata) if form.kind else list_object(call, objects, metadata)
        )
        await answers.send_object(call.request, call.send, rendered, form)
        return
    head, bodies = _list_head(call, metadata), [entry.body for entry in page.entries]
    if store.converts:
        bodies = list(await store.bodies_of(bodies))
    elif page.whole and sum(map(len, bodies)) > answers.GZIP_FROM and answers.accepts_gzip(call.request):
        await answers.send_packed(call.request, call.send, store.packer.pack(head, page.entries, _LIST_TAIL))
        return
    await answers.send_list(call.request, call.send, head, bodies, _LIST_TAIL)


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
