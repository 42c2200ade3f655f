"""What the backends publish as OpenAPI: read when somebody asks for our documents, at most once a minute."""

from __future__ import annotations

import asyncio
import gzip
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from kdist.api.errors import ServiceUnavailable
from kdist.api.meta import Obj
from kdist.apiserver.aggregation.backends import Backend, Backends
from kdist.apiserver.aggregation.remotediscovery import Fetcher
from kdist.telemetry import log

_log = log.get(__name__)
FRESH_SECONDS = 60.0
_REFERENCE = "#/definitions/"


class RemoteOpenAPI:
    """The documents of the backends that are available; :meth:`refresh` before reading."""

    def __init__(
        self, backends: Backends, fetcher: Fetcher, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._backends, self._fetcher, self._clock = backends, fetcher, clock
        self._read_at: dict[Backend, float] = {}
        self._v2: dict[Backend, tuple[str, bytes]] = {}  # ETag, compressed: they are large and seldom needed
        self._v3: dict[Backend, Obj] = {}
        #: Counts what was found to have changed, for whoever keeps something made of it.
        self.changes = 0

    async def refresh(self) -> None:
        """Read anew what is no longer fresh, all backends at once; what cannot be read stays as it was."""
        present = {b for b in self._backends.known.values() if b.available}
        for gone in self._read_at.keys() - present:
            del self._read_at[gone]
            self._v3.pop(gone, None)
            if self._v2.pop(gone, None):
                self.changes += 1
        now = self._clock()
        due = [b for b in present if now - self._read_at.get(b, -FRESH_SECONDS) >= FRESH_SECONDS]
        for backend in due:
            self._read_at[backend] = now
        await asyncio.gather(*(self._read(backend) for backend in due))

    async def _read(self, backend: Backend) -> None:
        try:
            await self._read_v2(backend)
            status, _, body = await self._fetcher.get(backend, "/openapi/v3")
            found = orjson.loads(body).get("paths", {}) if status == 200 else {}
        except (ServiceUnavailable, ValueError, AttributeError, KeyError, TypeError) as error:
            _log.warning("cannot read the OpenAPI of an APIService", name=backend.name, error=str(error))
            return
        entry = found.get(backend.root[1:])
        if isinstance(entry, dict):
            self._v3[backend] = entry

    async def _read_v2(self, backend: Backend) -> None:
        etag, _ = self._v2.get(backend, ("", b""))
        status, headers, body = await self._fetcher.get(backend, "/openapi/v2", etag=etag)
        if status != 200:
            return
        spec = restricted(orjson.loads(body), backend.root)
        self._v2[backend] = headers.get("etag", ""), gzip.compress(orjson.dumps(spec))
        self.changes += 1

    def v2(self) -> list[Obj]:
        """The version 2 documents, each with nothing but its group and version."""
        ordered = sorted(self._v2, key=lambda b: b.name)
        return [orjson.loads(gzip.decompress(self._v2[b][1])) for b in ordered]

    def v3_index(self) -> dict[str, Obj]:
        """Where the version 3 documents lie: on this server, which passes the request on."""
        return {
            b.root[1:]: {"serverRelativeURL": entry["serverRelativeURL"]}
            for b, entry in sorted(self._v3.items(), key=lambda item: item[0].name)
            if str(entry.get("serverRelativeURL", "")).startswith(f"/openapi/v3{b.root}")
        }


def restricted(spec: Obj, root: str) -> Obj:
    """The paths of a document at and below ``root``, with the definitions that they need."""
    shared: dict[str, Any] = spec.get("parameters") or {}
    paths = {
        path: _with_parameters(item, shared)
        for path, item in (spec.get("paths") or {}).items()
        if path == root or path.startswith(f"{root}/")
    }
    everything: dict[str, Any] = spec.get("definitions") or {}
    needed: dict[str, Any] = {}
    pending = list(references(paths))
    while pending:
        name = pending.pop()
        if name in everything and name not in needed:
            needed[name] = everything[name]
            pending.extend(references(everything[name]))
    return {"paths": paths, "definitions": needed}


def _with_parameters(item: Any, shared: dict[str, Any]) -> Any:
    """A path with its parameters written out: the whole document has shared ones of its own."""
    if not isinstance(item, dict):
        return item
    written: dict[str, Any] = {}
    for key, value in item.items():
        if key == "parameters" and isinstance(value, list):
            written[key] = [_written_out(p, shared) for p in value]
        else:
            written[key] = _with_parameters(value, shared)
    return written


def _written_out(parameter: Any, shared: dict[str, Any]) -> Any:
    reference = parameter.get("$ref", "") if isinstance(parameter, dict) else ""
    return shared.get(reference.removeprefix("#/parameters/"), parameter) if reference else parameter


def references(node: Any) -> Iterator[str]:
    """The names of all definitions that a part of a document refers to."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str) and value.startswith(_REFERENCE):
                yield value.removeprefix(_REFERENCE)
            else:
                yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def merge(document: Obj, spec: Obj) -> None:
    """Add a restricted document to a whole one, in place; definitions of one name and other content are renamed."""
    have: dict[str, Any] = document["definitions"]
    renamed = {
        name: _free_name(name, have)
        for name, body in spec["definitions"].items()
        if have.get(name, body) != body
    }
    for name, body in spec["definitions"].items():
        have.setdefault(renamed.get(name, name), _with_names(body, renamed))
    for path, body in spec["paths"].items():
        document["paths"].setdefault(path, _with_names(body, renamed))
    document["paths"] = dict(sorted(document["paths"].items()))


def _free_name(name: str, taken: dict[str, Any]) -> str:
    base, number = re.sub(r"_v\d+$", "", name), 2
    while f"{base}_v{number}" in taken:
        number += 1
    return f"{base}_v{number}"


def _with_names(node: Any, renamed: dict[str, str]) -> Any:
    if isinstance(node, list):
        return [_with_names(item, renamed) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _REFERENCE + renamed.get(value.removeprefix(_REFERENCE), value.removeprefix(_REFERENCE))
        if key == "$ref" and isinstance(value, str) and value.startswith(_REFERENCE)
        else _with_names(value, renamed)
        for key, value in node.items()
    }
