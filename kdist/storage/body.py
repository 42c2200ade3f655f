"""Objects as bytes: the canonical JSON form in storage, and the revision spliced in on the way out.

A stored value has no resourceVersion: its revision is the one storage gave it. The canonical form begins with
kind, apiVersion and metadata, so that the resourceVersion can be spliced in without decoding.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

Obj = dict[str, Any]
_HEAD = re.compile(rb'\{"kind":"[^"]*","apiVersion":"[^"]*","metadata":\{(?=")')
_REVISION = re.compile(rb'"resourceVersion":"\d+"')


def encode(obj: Obj) -> bytes:
    """The value to store: canonical order, no resourceVersion."""
    metadata = {k: v for k, v in obj["metadata"].items() if k != "resourceVersion"}
    rest = {k: v for k, v in obj.items() if k not in ("kind", "apiVersion", "metadata")}
    head = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": metadata}
    return orjson.dumps({**head, **rest})


def with_revision(value: bytes, revision: int) -> bytes:
    """The object as clients see it: a stored value plus its resourceVersion."""
    head = _HEAD.match(value)
    if head is None:  # written by another hand
        value = encode(orjson.loads(value))
        head = _HEAD.match(value)
        assert head is not None, "an object has a kind, an apiVersion and metadata"
    end = head.end()
    return b'%b"resourceVersion":"%d",%b' % (value[:end], revision, value[end:])


def at_revision(body: bytes, revision: int) -> bytes:
    """A body of :func:`with_revision` with another resourceVersion."""
    return _REVISION.sub(b'"resourceVersion":"%d"' % revision, body, count=1)


def decode(value: bytes, revision: int) -> Obj:
    """A stored value as an object, with its resourceVersion."""
    obj: Obj = orjson.loads(value)
    obj["metadata"]["resourceVersion"] = str(revision)
    return obj
