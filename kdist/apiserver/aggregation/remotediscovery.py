"""What the backends say they serve, in the form of aggregated discovery.

Read after a check that passed and kept until the next one; when a backend stops answering, what it said last is still
told, as stale.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from kdist.api.errors import ServiceUnavailable
from kdist.api.meta import Obj
from kdist.apiserver.aggregation.backends import Backend, Backends
from kdist.apiserver.aggregation.proxying import identity_headers
from kdist.apiserver.authn.user import MASTERS, User
from kdist.telemetry import log

if TYPE_CHECKING:
    import aiohttp

    from kdist.apiserver.streaming.forward import Forwarder

_log = log.get(__name__)
FETCH_SECONDS = 5.0
LIMIT = 16 << 20  # bytes of a document
AGGREGATOR = User("system:kube-aggregator", groups=(MASTERS,))
_LISTS = ", ".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    for version in ("v2", "v2beta1")
)


class Fetcher:
    """Reads documents of backends as the aggregator itself."""

    def __init__(self, backends: Backends, forwarder: Forwarder) -> None:
        self._backends, self._forwarder = backends, forwarder

    async def get(
        self, backend: Backend, path: str, accept: str = "application/json", etag: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        """(status, headers by lower-case name, body). ServiceUnavailable."""
        headers = {"Accept": accept, "Accept-Encoding": "identity", **dict(identity_headers(AGGREGATOR))}
        if etag:
            headers["If-None-Match"] = etag
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                answer = await self._forwarder.get(self._backends.locate(backend), path, headers)
                try:
                    body = await _read(answer)
                finally:
                    answer.close()
        except TimeoutError as error:
            raise ServiceUnavailable(f"{backend.name} did not answer {path} in time") from error
        return answer.status, {k.lower(): v for k, v in answer.headers.items()}, body


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    import aiohttp

    parts: list[bytes] = []
    size = 0
    try:
        async for part in answer.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > LIMIT:
                raise ServiceUnavailable(f"a document has more than {LIMIT} bytes")
    except aiohttp.ClientError as error:
        raise ServiceUnavailable(f"the answer broke off: {error}") from error
    return b"".join(parts)


class RemoteDiscovery:
    """The discovery of every backend."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._found: dict[str, list[Obj]] = {}
        self._current: set[str] = set()

    def version(self, backend: Backend) -> Obj:
        """The APIVersionDiscovery of a backend's group and version."""
        fresh = backend.available and backend.name in self._current
        return {
            "version": backend.version,
            "resources": self._found.get(backend.name, []),
            "freshness": "Current" if fresh else "Stale",
        }

    async def refresh(self, backend: Backend) -> None:
        """Ask the backend; a failure is logged and makes what is known stale."""
        try:
            self._found[backend.name] = await self._fetch(backend)
        except (ServiceUnavailable, ValueError, KeyError, TypeError, AttributeError) as error:
            self.outdate(backend.name)
            _log.warning("cannot read what an APIService serves", name=backend.name, error=str(error))
        else:
            self._current.add(backend.name)

    def outdate(self, name: str) -> None:
        """What is known of a backend may no longer hold."""
        self._current.discard(name)

    def forget(self, name: str) -> None:
        """The APIService is gone."""
        self._current.discard(name)
        self._found.pop(name, None)

    async def _fetch(self, backend: Backend) -> list[Obj]:
        root = "/apis" if backend.group else "/api"
        status, headers, body = await self._fetcher.get(backend, root, f"{_LISTS}, application/json")
        if status == 200 and "as=APIGroupDiscoveryList" in headers.get("content-type", ""):
            found = _of_version(orjson.loads(body), backend)
            if found is not None:
                return found
        status, _, body = await self._fetcher.get(backend, backend.root)
        if status != 200:
            raise ServiceUnavailable(f"{backend.root} was answered with {status}")
        return from_classic(orjson.loads(body).get("resources") or [])


def _of_version(document: Obj, backend: Backend) -> list[Obj] | None:
    for group in document.get("items") or ():
        if ((group.get("metadata") or {}).get("name") or "") == backend.group:
            for version in group.get("versions") or ():
                if version.get("version") == backend.version:
                    resources: list[Obj] = version.get("resources") or []
                    return resources
    return None


def from_classic(rows: list[Obj]) -> list[Obj]:
    """An APIResourceList's rows in the aggregated form: subresources below their resource."""
    resources: dict[str, Obj] = {}
    for row in rows:
        name, _, subresource = row["name"].partition("/")
        if subresource:
            below = {"subresource": subresource, "responseKind": _kind(row), "verbs": row.get("verbs") or []}
            # a subresource may be all there is: it then stands below a resource without verbs
            parent = resources.setdefault(name, {"resource": name, "scope": _scope(row), "verbs": []})
            parent.setdefault("subresources", []).append(below)
        else:
            resources[name] = {**resources.get(name, {}), **_resource(row)}
    return list(resources.values())


def _resource(row: Obj) -> Obj:
    found: dict[str, Any] = {
        "resource": row["name"],
        "responseKind": _kind(row),
        "scope": _scope(row),
        "singularResource": row.get("singularName") or "",
        "verbs": row.get("verbs") or [],
    }
    optional = {key: row[key] for key in ("shortNames", "categories") if row.get(key)}
    return {**found, **optional}


def _kind(row: Obj) -> Obj:
    return {
        "group": row.get("group") or "",
        "version": row.get("version") or "",
        "kind": row.get("kind") or "",
    }


def _scope(row: Obj) -> str:
    return "Namespaced" if row.get("namespaced") else "Cluster"
