"""Reading of ASGI header lists, where a name may occur several times."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

# Lower-case names, as ASGI servers hand them over.
Headers = Iterable[tuple[bytes, bytes]]
Scope = dict[str, Any]


def values(headers: Headers, name: bytes) -> list[str]:
    """Every value of a header, in order."""
    return [value.decode("latin-1") for key, value in headers if key == name]


def first(headers: Headers, name: bytes) -> str:
    """The first value of a header, or the empty string."""
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return ""


def extras(headers: Headers, prefix: bytes) -> dict[str, tuple[str, ...]]:
    """``X-Remote-Extra-Foo: bar`` and its like: key (percent-decoded) to values."""
    found: dict[str, tuple[str, ...]] = {}
    for name, value in headers:
        if name.startswith(prefix) and len(name) > len(prefix):
            key = unquote(name[len(prefix) :].decode("latin-1"))
            found[key] = (*found.get(key, ()), value.decode("latin-1"))
    return found


def bearer_token(headers: Headers) -> str:
    """The token of the Authorization header, or the empty string."""
    scheme, _, token = first(headers, b"authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
