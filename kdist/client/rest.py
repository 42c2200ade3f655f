"""The typed face of the API for every component: verbs on kinds, objects as plain dicts.

:class:`Client` speaks the verbs; :mod:`kdist.client.transport` moves bytes. All clients made from one another
with :meth:`Client.named` share one connection pool.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from kdist.api import errors, meta
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.client import kubeconfig
from kdist.client.kubeconfig import Access
from kdist.client.transport import Transport, Unreachable
from kdist.pki.following import Followed

__all__ = ["Client", "ObjList", "Unreachable", "WatchEvent"]

_JSON = "application/json"
_METADATA = f"{_JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{_JSON}"
_METADATA_LIST = f"{_JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{_JSON}"
_PATCHES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
# A watch is renewed after this many seconds (and up to twice that), so that load spreads over the servers.
WATCH_SECONDS = 300
# How long after its own end a watch may stay open before its connection counts as dead.
WATCH_SLACK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change: ``type`` is ADDED, MODIFIED, DELETED or BOOKMARK; ERROR events are raised instead."""

    type: str
    object: Obj


@dataclass(frozen=True, slots=True)
class ObjList:
    """A list's items, each with apiVersion and kind, and the revision at which a watch may begin."""

    items: list[Obj]
    resource_version: str
    continue_token: str = ""


class Client:
    """The API as one user agent sees it. Every method raises ApiError classes and Unreachable."""

    def __init__(self, access: Access | Followed[Access] | None, *, user_agent: str) -> None:
        """``access`` None: requests wait until :meth:`use` gives one."""
        self._transport = Transport(access)
        self._user_agent = user_agent
        now = access.current() if isinstance(access, Followed) else access
        self.default_namespace = now.namespace if now else "default"

    @classmethod
    def from_kubeconfig(cls, path: Path, *, user_agent: str) -> Client:
        """A client for the file's current context, as the file changes. Raises KubeconfigError."""
        return cls(kubeconfig.following(path), user_agent=user_agent)

    @classmethod
    def in_cluster(cls, *, user_agent: str) -> Client:
        """A client with the pod's service account. Raises KubeconfigError outside a pod."""
        return cls(kubeconfig.in_cluster(), user_agent=user_agent)

    def named(self, user_agent: str) -> Client:
        """The same connections under another user agent; only the original opens and closes them."""
        other = object.__new__(Client)
        other._transport, other._user_agent = self._transport, user_agent
        other.default_namespace = self.default_namespace
        return other

    def use(self, access: Access | Followed[Access]) -> None:
        """Go by this access from the next request on, in every client of this pool."""
        self._transport.use(access)

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.close()

    async def get(
        self, kind: Kind, name: str, namespace: str | None = None, *, metadata_only: bool = False
    ) -> Obj:
        """One object; with ``metadata_only`` its PartialObjectMetadata."""
        accept = _METADATA if metadata_only else _JSON
        found: Obj = await self.request("GET", kind.path(namespace, name), accept=accept)
        return found

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str | None = None,
        limit: int | None = None,
        continue_token: str = "",
        metadata_only: bool = False,
    ) -> ObjList:
        """A collection, whole or (with ``limit``) one page of it, in one namespace or in all of them."""
        params = _given(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            resourceVersion=resource_version,
            limit=limit,
            **{"continue": continue_token},
        )
        accept = _METADATA_LIST if metadata_only else _JSON
        answer = await self.request("GET", kind.path(namespace), params=params, accept=accept)
        items = answer.get("items") or []
        for item in items:
            item["apiVersion"], item["kind"] = kind.api_version, kind.kind
        about = answer.get("metadata") or {}
        return ObjList(items, about.get("resourceVersion") or "", about.get("continue") or "")

    async def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int | None = None,
        metadata_only: bool = False,
    ) -> AsyncGenerator[WatchEvent, None]:
        """The changes after ``resource_version``; ends when the server ends it. Expired: list again."""
        seconds = timeout_seconds or random.randint(WATCH_SECONDS, 2 * WATCH_SECONDS)
        params = _given(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=resource_version,
            labelSelector=label_selector,
            fieldSelector=field_selector,
            timeoutSeconds=seconds,
        )
        lines = self._transport.lines(
            kind.path(namespace),
            params=params,
            headers=self._headers(_METADATA if metadata_only else _JSON),
            silence=seconds + WATCH_SLACK_SECONDS,
        )
        async with aclosing(lines):
            async for line in lines:
                event = orjson.loads(line)
                changed = event["object"]
                if event["type"] == "ERROR":
                    raise errors.from_status(changed, changed.get("code") or 500)
                changed["apiVersion"], changed["kind"] = kind.api_version, kind.kind
                yield WatchEvent(event["type"], changed)

    async def create(
        self,
        kind: Kind,
        obj: Obj,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        name: str | None = None,
    ) -> Obj:
        """Create the object, or a subresource (binding, eviction, token) of the object called ``name``."""
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        path = kind.path(namespace or meta.namespace(obj) or None, name, subresource)
        made: Obj = await self.request("POST", path, body=body)
        return made

    async def update(self, kind: Kind, obj: Obj, *, subresource: str | None = None) -> Obj:
        """Replace the object (``subresource="status"``: its status); its resourceVersion is the lock."""
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        path = kind.path(meta.namespace(obj) or None, meta.name(obj), subresource)
        changed: Obj = await self.request("PUT", path, body=body)
        return changed

    async def patch(
        self,
        kind: Kind,
        name: str,
        body: Any,
        namespace: str | None = None,
        *,
        type: str = "merge",
        subresource: str | None = None,
        field_manager: str | None = None,
        force: bool = False,
    ) -> Obj:
        """Change the object by a patch: merge, json, strategic or apply (which needs ``field_manager``)."""
        changed: Obj = await self.request(
            "PATCH",
            kind.path(namespace, name, subresource),
            params=_given(fieldManager=field_manager, force="true" if force else None),
            body=body,
            content_type=_PATCHES[type],
        )
        return changed

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        grace_seconds: int | None = None,
        propagation: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> Obj:
        """Ask for deletion; ``uid`` and ``resource_version`` are preconditions (Conflict when they fail)."""
        options: Obj = {"apiVersion": "v1", "kind": "DeleteOptions"}
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        optional = {
            "gracePeriodSeconds": grace_seconds,
            "propagationPolicy": propagation,
            "preconditions": {k: v for k, v in preconditions.items() if v} or None,
        }
        options.update({k: v for k, v in optional.items() if v is not None})
        answer: Obj = await self.request("DELETE", kind.path(namespace, name), body=options)
        return answer

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: Any = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> Any:
        """Any request; the decoded JSON of its answer, or its text when it is not JSON."""
        headers = self._headers(accept)
        data = None
        if body is not None:
            data, headers["Content-Type"] = orjson.dumps(body), content_type
        answer = await self._transport.call(method, path, params=params or {}, headers=headers, body=data)
        try:
            return orjson.loads(answer)
        except orjson.JSONDecodeError:
            return answer.decode()

    def _headers(self, accept: str) -> dict[str, str]:
        return {"Accept": accept, "User-Agent": self._user_agent}


def _given(**params: str | int | None) -> dict[str, str]:
    """Query parameters without those that are not set."""
    return {name: str(value) for name, value in params.items() if value not in (None, "")}
