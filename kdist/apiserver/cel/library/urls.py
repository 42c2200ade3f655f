"""Absolute URLs and paths."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote, unquote_plus

from kdist.apiserver.cel.errors import EvaluationError, no_such_overload
from kdist.apiserver.cel.library.strings import text
from kdist.apiserver.cel.values import Opaque

_PARTS = re.compile(
    r"(?:([a-zA-Z][a-zA-Z0-9+.\-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL
)
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_PORT = re.compile(r"[0-9]*")
# what Go leaves as it is in a path
_PATH_SAFE = "/$&+,:;=@!'()*-_.~[]%"


@dataclass(frozen=True, slots=True)
class URL(Opaque):
    """An address; ``host`` has the port, ``path`` and ``query`` are as written."""

    cel_type: ClassVar[str] = "kubernetes.URL"
    scheme: str
    host: str
    path: str
    query: str

    @property
    def hostname(self) -> str:
        """Without port and brackets."""
        if self.host.startswith("["):
            return self.host[1:].partition("]")[0]
        return self.host.rpartition(":")[0] if ":" in self.host else self.host

    @property
    def port(self) -> str:
        """Digits, or nothing."""
        rest = self.host.partition("]")[2] if self.host.startswith("[") else self.host
        return rest.rpartition(":")[2] if ":" in rest else ""


def parse(given: str) -> URL:
    """EvaluationError for what is neither an absolute URL nor an absolute path."""
    told = f'URL parse error during conversion from string: parse "{given}": '
    if not given:
        raise EvaluationError(told + "empty url")
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in given):
        raise EvaluationError(told + "net/url: invalid control character in URL")
    match = _PARTS.fullmatch(given)
    scheme, authority, path, query = match.groups() if match else (None, None, "", None)
    if scheme is None and not given.startswith("/"):
        raise EvaluationError(told + "invalid URI for request")
    if scheme is not None and authority is None and not path.startswith("/"):
        path = ""
    host = (authority or "").rpartition("@")[2]
    _check_host(host, told)
    if escape := _BAD_ESCAPE.search(path):
        raise EvaluationError(told + f'invalid URL escape "{path[escape.start() : escape.start() + 3]}"')
    return URL((scheme or "").lower(), host, path, query or "")


def _check_host(host: str, told: str) -> None:
    for char in host:
        if char in ' <>"':
            raise EvaluationError(told + f'invalid character "{char}" in host name')
    if host.startswith("["):
        if "]" not in host:
            raise EvaluationError(told + "missing ']' in host")
        rest = host.partition("]")[2]
    else:
        rest = host[host.find(":") :] if ":" in host else ""
    if rest and (not rest.startswith(":") or not _PORT.fullmatch(rest[1:])):
        raise EvaluationError(told + f'invalid port "{rest}" after host')


def is_url(value: Any) -> bool:
    """Whether the text is an absolute URL or path."""
    try:
        parse(text(value))
    except EvaluationError as error:
        if value is None:
            raise error
        return False
    return True


def query_of(url: URL) -> dict[str, list[str]]:
    """The values by their keys; parts that cannot be read are left out, as upstream does."""
    found: dict[str, list[str]] = {}
    for part in url.query.split("&"):
        if not part or ";" in part:
            continue
        key, _, value = part.partition("=")
        if not _BAD_ESCAPE.search(part):
            found.setdefault(unquote_plus(key), []).append(unquote_plus(value))
    return found


def _of(value: Any) -> URL:
    if isinstance(value, URL):
        return value
    raise no_such_overload()


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "url": lambda value: parse(text(value)),
    "isURL": is_url,
    "getScheme": lambda value: _of(value).scheme,
    "getHost": lambda value: _of(value).host,
    "getHostname": lambda value: _of(value).hostname,
    "getPort": lambda value: _of(value).port,
    "getEscapedPath": lambda value: quote(_of(value).path, safe=_PATH_SAFE),
    "getQuery": lambda value: query_of(_of(value)),
}
