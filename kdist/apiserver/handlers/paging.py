"""Pages of a list, and the tokens that lead from one to the next.

A token is upstream's: the revision of the first page, and the key to go on from, relative to what is listed. One that
came from another server of the cluster is as good as one of ours.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
from dataclasses import dataclass

import orjson

from kdist.api.errors import BadRequest, Expired
from kdist.apiserver.handlers.selection import Selection
from kdist.storage.watchcache import Entry

NEWEST = -1  # the revision of a token that goes on with whatever is there now
_VERSION = "meta.k8s.io/v1"
_INCONSISTENT = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new "
    "list without the continue parameter, or use the continue token in this response to retrieve the "
    "remainder of the results. Continuing with the provided token results in an inconsistent list - objects "
    "that were created, modified, or deleted between the time the first chunk was returned and now may show "
    "up in the list."
)


def encode_continue(revision: int, start: str) -> str:
    """The token that goes on from the relative key ``start`` as of ``revision``."""
    token = orjson.dumps({"v": _VERSION, "rv": revision, "start": start})
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def decode_continue(token: str) -> tuple[int, str]:
    """(revision, relative key to go on from) of a token. BadRequest."""
    try:
        padded = token + "=" * (-len(token) % 4)
        value = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        version, revision, start = value["v"], value.get("rv", 0), value.get("start", "")
    except (binascii.Error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _invalid(f"continue key is not valid: {error}") from error
    if version != _VERSION:
        raise _invalid(f"continue key is not valid: server does not recognize this encoded version {version}")
    if not isinstance(revision, int) or revision == 0:
        told = "continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)"
        raise _invalid(told)
    if not isinstance(start, str) or not start:
        raise _invalid("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)")
    key = start if start.startswith("/") else f"/{start}"
    if posixpath.normpath(key) != key:  # it must not lead out of what is listed
        raise _invalid(f"continue key is not valid: {start}")
    return revision, key[1:]


def _invalid(told: str) -> BadRequest:
    return BadRequest(f"invalid continue token: {told}")


def expired(start: str) -> Expired:
    """The answer to a token whose revision is gone, with one that goes on with the newest state."""
    error = Expired(_INCONSISTENT)
    error.metadata = {"continue": encode_continue(NEWEST, start)}
    return error


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries of a list; ``last`` is the key to go on after, ``remaining`` what follows (None: unknown).

    ``whole`` says that nothing was selected: neighbours in the page are neighbours in storage.
    """

    entries: list[Entry]
    last: str = ""
    remaining: int | None = None
    whole: bool = False

    @classmethod
    def cut(cls, entries: list[Entry], selected: Selection, limit: int) -> Page:
        """The first ``limit`` (0: all) matching entries."""
        matching, whole = selected.select(entries), selected.matches is None
        if not limit or len(matching) <= limit:
            return cls(matching, whole=whole)
        kept = matching[:limit]
        return cls(kept, kept[-1].key, len(matching) - limit if whole else None, whole)

    def token(self, revision: int, base: str) -> str:
        """The token of the next page; ``base`` is the key prefix of what is listed."""
        return encode_continue(revision, self.last.removeprefix(base) + "\0")
