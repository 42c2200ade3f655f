"""What a URL asks for: the verb, the resource and its coordinates, or a path that is no resource."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qs

from kdist.api.selectors import SelectorError, parse_field_selector

Query = Mapping[str, Sequence[str]]
_VERBS = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
    "OPTIONS": "",  # no verb of the API: only those who may do everything may send it through a proxy
}
_NAMESPACE_SUBRESOURCES = ("status", "finalize")
_PROXIED = ("proxy",)


# Longer URLs are not kept parsed: a client must not be able to fill the memory with them.
KEPT_URL = 512


class RequestInfo(NamedTuple):
    """A request's coordinates. ``plural`` is empty for a path that is no resource; ``tail`` follows ``proxy``."""

    verb: str
    path: str
    group: str = ""
    version: str = ""
    plural: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    tail: str = ""
    name_in_path: bool = False  # as opposed to one from a field selector
    deeper: bool = False  # the path goes on below the subresource: only other servers have such

    @property
    def is_resource(self) -> bool:
        """Whether the path names a resource."""
        return bool(self.plural)

    @property
    def is_long_running(self) -> bool:
        """Whether the request may outlive the request timeout: watches, and streams to agents."""
        return self.verb == "watch" or self.subresource in LONG_RUNNING_SUBRESOURCES


LONG_RUNNING_SUBRESOURCES = frozenset({"log", "exec", "attach", "portforward", "proxy"})


def read(method: str, path: str, query_string: bytes) -> tuple[RequestInfo, Query]:
    """The coordinates and parameters of a request. Both are shared between requests: read only."""
    if len(path) + len(query_string) <= KEPT_URL:
        return _kept(method, path, query_string)
    return _read(method, path, query_string)


def _read(method: str, path: str, query_string: bytes) -> tuple[RequestInfo, Query]:
    query = parse_qs(query_string.decode("latin-1"), True) if query_string else {}
    return parse(method, path, query), query


_kept = functools.lru_cache(maxsize=4096)(_read)


def first(query: Query, name: str, default: str = "") -> str:
    """The first value of a query parameter."""
    values = query.get(name)
    return values[0] if values else default


def truthy(query: Query, name: str) -> bool:
    """Whether a boolean parameter is given and not false; ``?watch`` alone counts."""
    values = query.get(name)
    return bool(values) and values[0].lower() not in ("false", "0")  # type: ignore[index]


def parse(method: str, path: str, query: Query) -> RequestInfo:
    """The coordinates of a request; never fails: what is no resource is a plain path."""
    plain = RequestInfo(verb=method.lower(), path=path)
    parts = path.strip("/").split("/")
    group, version, rest = _split_version(parts)
    if not version or not rest or method not in _VERBS:
        return plain
    watch = rest[0] == "watch" and len(rest) > 1
    if watch:
        rest = rest[1:]
    namespace, rest = _split_namespace(rest)
    if not rest or not all(rest[:3]):
        return plain
    plural, name = rest[0], rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    return RequestInfo(
        verb=_verb(method, name, watch, query),
        path=path,
        group=group,
        version=version,
        plural=plural,
        subresource=subresource,
        namespace=namespace,
        name=name or _selected_name(method, query),
        tail=_tail(path, subresource),
        name_in_path=bool(name),
        deeper=len(rest) > 3 and subresource not in _PROXIED,
    )


def _split_version(parts: list[str]) -> tuple[str, str, list[str]]:
    if parts[0] == "api" and len(parts) > 1:
        return "", parts[1], parts[2:]
    if parts[0] == "apis" and len(parts) > 2:
        return parts[1], parts[2], parts[3:]
    return "", "", []


def _split_namespace(rest: list[str]) -> tuple[str, list[str]]:
    """``namespaces/x/pods/...`` is in namespace x; ``namespaces/x`` and its subresources are x itself."""
    if rest[0] != "namespaces" or len(rest) < 2:
        return "", rest
    if len(rest) == 2 or (rest[2] in _NAMESPACE_SUBRESOURCES and len(rest) == 3):
        return rest[1], rest
    return rest[1], rest[2:]


def _verb(method: str, name: str, watch: bool, query: Query) -> str:
    verb = _VERBS[method]
    if verb == "get" and (watch or (not name and truthy(query, "watch"))):
        return "watch"
    if name:
        return verb
    return {"get": "list", "delete": "deletecollection"}.get(verb, verb)


def _selected_name(method: str, query: Query) -> str:
    """The one name that a list or watch is limited to: authorizers may allow just that."""
    text = first(query, "fieldSelector")
    if method not in ("GET", "HEAD", "DELETE") or "metadata.name" not in text:
        return ""
    try:
        return parse_field_selector(text).exact("metadata.name") or ""
    except SelectorError:  # the handler says so
        return ""


def _tail(path: str, subresource: str) -> str:
    if subresource not in _PROXIED:
        return ""
    _, _, tail = path.partition(f"/{subresource}/")
    return tail
