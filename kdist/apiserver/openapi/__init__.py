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

from kdist.api.resources import Resource
from kdist.api.schema import Definitions
from kdist.api.scheme import Scheme
from kdist.apiserver.aggregation.remoteopenapi import RemoteOpenAPI, merge
from kdist.apiserver.openapi import custom, enums, proto, v2, v3
from kdist.apiserver.openapi.operations import Operation, of_resource, root

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
        document = v2.document(self._all_operations(), self._definitions(v2=True), self._level())
        for spec in self._remote.v2() if self._remote else ():
            merge(document, spec)
        return document

    def v2_protobuf(self) -> Document:
        """``/openapi/v2`` as protobuf, with the same content."""
        return self._kept_bytes("v2 protobuf", lambda: proto.encode(orjson.loads(self.v2().body())))

    def v3_index(self) -> dict[str, Any]:
        """``/openapi/v3``: where the document of each group and version lies; the hash changes with it."""
        paths = {
            root(resources[0])[1:]: {
                "serverRelativeURL": f"/openapi/v3{root(resources[0])}?hash={self._hash(resources)}"
            }
            for resources in self._by_root().values()
        }
        return {"paths": {**paths, **(self._remote.v3_index() if self._remote else {})}}

    def v3(self, path: str) -> Document | None:
        """``/openapi/v3/PATH``, such as ``apis/apps/v1``; None when that is not served."""
        resources = self._by_root().get(f"/{path.strip('/')}")
        if resources is None:
            return None
        operations = [o for r in resources for o in self._operations(r)]
        return self._kept(
            path.strip("/"), lambda: v3.document(operations, self._definitions(), self._level())
        )

    def _level(self) -> str:
        return f"v{self._scheme.level}.0"

    def _by_root(self) -> dict[str, list[Resource]]:
        found: dict[str, list[Resource]] = {}
        for resource in self._scheme:
            found.setdefault(root(resource), []).append(resource)
        return found

    def _hash(self, resources: list[Resource]) -> str:
        """Of what the document is made from: building it to hash it would be dear."""
        documents = [self._scheme.schema_of(r).document for r in resources if self._scheme.is_custom(r)]
        made_of = repr((self._scheme.level, [(r, sorted(r.subresources)) for r in resources], documents))
        return hashlib.sha256(made_of.encode()).hexdigest().upper()

    def _all_operations(self) -> list[Operation]:
        return [o for resource in self._scheme for o in self._operations(resource)]

    def _operations(self, resource: Resource) -> list[Operation]:
        definition = self._scheme.definition_name(resource.api_version, resource.kind) or ""
        custom = self._scheme.is_custom(resource)
        return [replace(self._resolved(o), custom=custom) for o in of_resource(resource, definition)]

    def _resolved(self, operation: Operation) -> Operation:
        """Bodies of subresources with a kind of their own are known to the scheme alone."""
        if operation.answer:
            return operation
        version = f"{operation.group}/{operation.version}" if operation.group else operation.version
        name = self._scheme.definition_name(version, operation.kind) or ""
        takes_body = operation.method in ("post", "put")
        return replace(operation, answer=name, body=name if takes_body else operation.body)

    def _kept(self, key: str, build: Callable[[], dict[str, Any]]) -> Document:
        return self._kept_bytes(key, lambda: orjson.dumps(build()))

    def _kept_bytes(self, key: str, build: Callable[[], bytes]) -> Document:
        if self._made_at != self._changes():
            self._documents.clear()
            self._made_at = self._changes()
        found = self._documents.get(key)
        if found is None:
            body = build()
            etag = hashlib.sha256(body).hexdigest().upper()
            found = self._documents[key] = Document(gzip.compress(body, 6), f'"{etag}"')
            gc.collect()  # the definitions are a large, cyclic-looking heap: give it back now
        return found
