"""OpenAPI documents of what a scheme serves, built when first asked for and kept compressed.

A document costs tens of megabytes while it is built and about a hundredth of that afterwards, so nothing but
the compressed bytes stays.
"""

from __future__ import annotations

import gc
import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from kdist import __version__
from kdist.api.resources import Resource
from kdist.api.schema import Definitions
from kdist.api.scheme import Scheme
from kdist.apiserver.aggregation.remoteopenapi import RemoteOpenAPI, merge
from kdist.apiserver.openapi import about, custom, enums, proto, v2, v3
from kdist.apiserver.openapi.naming import root
from kdist.apiserver.openapi.operations import Operation, of_resource

__all__ = ["Document", "OpenAPI"]

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Document:
    """A finished document: gzip bytes (most clients take them as they are) and a quoted ETag."""

    gzipped: bytes
    etag: str

    def body(self) -> bytes:
        """The plain bytes, for clients that do not take gzip."""
        return gzip.decompress(self.gzipped)


class OpenAPI:
    """The documents of one scheme, made anew when its resources have changed."""

    def __init__(
        self,
        scheme: Scheme,
        remote: RemoteOpenAPI | None = None,
        selectable: custom.SelectableFields = lambda _: [],
    ) -> None:
        self._scheme, self._selectable = scheme, selectable
        self._remote = remote
        self._documents: dict[str, Document] = {}
        self._hashed: dict[str, str] = {}
        self._made_at = self._changes()

    def _changes(self) -> tuple[int, int]:
        return self._scheme.changes, self._remote.changes if self._remote else 0

    def _definitions(self, *, v2: bool = False) -> Definitions:
        builtin = enums.completed(self._scheme.definitions())
        return {**builtin, **custom.definitions(self._scheme, builtin, self._selectable, v2=v2)}

    def v2(self) -> Document:
        """``/openapi/v2`` as JSON."""
        return self._kept("v2", self._whole)

    def _whole(self) -> dict[str, Any]:
        document = v2.document(self._all_operations(), self._definitions(v2=True), self._scheme.level)
        for spec in self._remote.v2() if self._remote else ():
            merge(document, spec)
        return document

    def v2_protobuf(self) -> Document:
        """``/openapi/v2`` as protobuf, with the same content."""
        return self._kept_bytes("v2 protobuf", lambda: proto.encode(orjson.loads(self.v2().body())))

    def v3_index(self) -> dict[str, Any]:
        """``/openapi/v3``: where the document of each group and version lies; the hash changes with it."""
        paths = {
            path[1:]: {"serverRelativeURL": f"/openapi/v3{path}?hash={found}"}
            for path, found in sorted(self._hashes().items())
        }
        return {"paths": {**paths, **(self._remote.v3_index() if self._remote else {})}}

    def v3_hash(self, path: str) -> str | None:
        """The hash of :meth:`v3`'s document, without making it; None when that is not served."""
        return self._hashes().get(f"/{path}")

    def v3(self, path: str) -> Document:
        """``/openapi/v3/PATH``, such as ``apis/apps/v1``. KeyError when that is not served."""
        wanted = f"/{path}"
        return self._kept(wanted, lambda: self._v3(wanted))

    def _v3(self, path: str) -> dict[str, Any]:
        resources = self._by_root().get(path)
        operations = self._of_root(path, resources) if resources else [self._about()[path]]
        return v3.document(operations, self._definitions(), self._scheme.level)

    def _hashes(self) -> dict[str, str]:
        """Of what the documents are made from: building them to hash them would be dear."""
        self._forget_changed()
        if not self._hashed:
            told = {path: _hash(self._scheme.level, found) for path, found in self._about().items()}
            rows = {path: self._made_of(resources) for path, resources in self._by_root().items()}
            self._hashed = {**told, **{path: _hash(self._scheme.level, row) for path, row in rows.items()}}
        return self._hashed

    def _made_of(self, resources: list[Resource]) -> list[Any]:
        custom = [r for r in resources if self._scheme.is_custom(r)]
        documents = [(self._scheme.schema_of(r).document, self._selectable(r)) for r in custom]
        return [[(r, sorted(r.subresources)) for r in resources], documents]

    def _about(self) -> dict[str, Operation]:
        """What is no resource, by the path of its document."""
        groups = sorted({r.group for r in self._scheme if r.group and not self._scheme.is_custom(r)})
        return {o.path.rstrip("/"): o for o in (*about.of_server(), *about.of_groups(groups))}

    def _by_root(self) -> dict[str, list[Resource]]:
        found: dict[str, list[Resource]] = {}
        for resource in self._scheme:
            found.setdefault(root(resource), []).append(resource)
        return found

    def _all_operations(self) -> list[Operation]:
        found = [o for path, resources in self._by_root().items() for o in self._of_root(path, resources)]
        return [*self._about().values(), *found]

    def _of_root(self, path: str, resources: list[Resource]) -> list[Operation]:
        """Everything below the path of a group and version."""
        found = [o for resource in resources for o in self._operations(resource)]
        first = resources[0]
        if self._scheme.is_custom(first):
            return found
        return [about.of_version(path, first.group, first.version), *found]

    def _operations(self, resource: Resource) -> list[Operation]:
        definition = self._scheme.definition_name(resource.api_version, resource.kind) or ""
        custom = self._scheme.is_custom(resource)
        of_it = of_resource(resource, definition, custom=custom)
        resolved = [self._resolved(o, resource, definition) for o in of_it]
        if not custom:
            return resolved
        return [replace(o, kind=(resource.group, resource.version, resource.kind)) for o in resolved]

    def _resolved(self, operation: Operation, resource: Resource, definition: str) -> Operation:
        """With the bodies of subresources that have a kind of their own: the scheme alone knows them."""
        group, version, kind = operation.kind or ("", "", "")
        if kind == resource.kind or definition not in (operation.body, operation.answer):
            return operation
        name = self._scheme.definition_name(f"{group}/{version}".lstrip("/"), kind) or ""
        body = name if operation.body == definition else operation.body
        return replace(operation, body=body, answer=name)

    def _kept(self, key: str, build: Callable[[], dict[str, Any]]) -> Document:
        return self._kept_bytes(key, lambda: orjson.dumps(build()))

    def _forget_changed(self) -> None:
        if self._made_at != self._changes():
            self._documents.clear()
            self._hashed.clear()
            self._made_at = self._changes()

    def _kept_bytes(self, key: str, build: Callable[[], bytes]) -> Document:
        self._forget_changed()
        found = self._documents.get(key)
        if found is None:
            body = build()
            etag = hashlib.sha256(body).hexdigest().upper()
            found = self._documents[key] = Document(gzip.compress(body, 6), f'"{etag}"')
            gc.collect()  # the definitions are a large, cyclic-looking heap: give it back now
        return found


def _hash(level: str, made_of: Any) -> str:
    """Our own version is part of it: clients keep a document for as long as its hash stays."""
    return hashlib.sha256(repr((__version__, level, made_of)).encode()).hexdigest().upper()
