"""Functions on texts; places are counted in code points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kdist.apiserver.cel import patterns
from kdist.apiserver.cel.errors import EvaluationError, no_such_overload
from kdist.apiserver.cel.library.collections import index_in_list, last_index_in_list

_WHITE = " \t\n\v\f\r\u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_UPPER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_LOWER = {lower: upper for upper, lower in _UPPER.items()}
_QUOTED = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def text(value: Any) -> str:
    """The argument, which has to be a text."""
    if type(value) is str:
        return value
    raise no_such_overload()


def number(value: Any) -> int:
    """The argument, which has to be an integer."""
    if type(value) is int:
        return value
    raise no_such_overload()


def contains(value: Any, part: Any) -> bool:
    """Whether the part is in the text."""
    return text(part) in text(value)


def starts_with(value: Any, prefix: Any) -> bool:
    """Whether the text starts so."""
    return text(value).startswith(text(prefix))


def ends_with(value: Any, suffix: Any) -> bool:
    """Whether the text ends so."""
    return text(value).endswith(text(suffix))


def matches(value: Any, pattern: Any) -> bool:
    """Whether the pattern matches anywhere."""
    return patterns.compile(text(pattern)).search(text(value)) is not None


def char_at(value: Any, at: Any) -> str:
    """The character at a place; empty at the end."""
    if not 0 <= number(at) <= len(text(value)):
        raise EvaluationError(f"index out of range: {at}")
    return text(value)[at : at + 1]


def index_of(value: Any, part: Any, start: Any = 0) -> int:
    """The first place of a part or an element."""
    if isinstance(value, list):
        return index_in_list(value, part)
    if not 0 <= number(start) <= len(text(value)):
        raise EvaluationError(f"index out of range: {start}")
    return text(value).find(text(part), start)


def last_index_of(value: Any, part: Any, start: Any = None) -> int:
    """The last place of a part or an element; a text's from ``start`` backwards."""
    if isinstance(value, list):
        return last_index_in_list(value, part)
    if start is None:
        return text(value).rfind(text(part))
    if not 0 <= number(start) <= len(text(value)):
        raise EvaluationError(f"index out of range: {start}")
    return text(value).rfind(text(part), 0, start + len(part))


def lower(value: Any) -> str:
    """Without ASCII capitals."""
    return text(value).translate(_UPPER)


def upper(value: Any) -> str:
    """With ASCII capitals."""
    return text(value).translate(_LOWER)


def replace(value: Any, old: Any, new: Any, count: Any = -1) -> str:
    """With a part replaced, everywhere or at the first places."""
    return text(value).replace(text(old), text(new), number(count))


def split(value: Any, separator: Any, most: Any = -1) -> list[str]:
    """The parts between separators; all characters when there is none."""
    given, limit = text(value), number(most)
    if limit == 0:
        return []
    if limit == 1:
        return [given]
    if text(separator):
        return given.split(separator, limit - 1 if limit > 0 else -1)
    if limit < 0 or limit >= len(given):
        return list(given)
    return [*given[: limit - 1], given[limit - 1 :]]


def join(values: Any, separator: Any = "") -> str:
    """The texts in one."""
    if not isinstance(values, list):
        raise no_such_overload()
    return text(separator).join(map(text, values))


def substring(value: Any, start: Any, end: Any = None) -> str:
    """The part between two places."""
    given = text(value)
    last = len(given) if end is None else number(end)
    if end is not None and number(start) > last:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    for at in (number(start), last):
        if not 0 <= at <= len(given):
            raise EvaluationError(f"index out of range: {at}")
    return given[start:last]


def trim(value: Any) -> str:
    """Without white space at both ends."""
    return text(value).strip(_WHITE)


def quote(value: Any) -> str:
    """In double quotes, with control characters escaped."""
    return '"' + "".join(_QUOTED.get(char, char) for char in text(value)) + '"'


def escape_key(key: Any) -> str:
    """A key as JSON pointers write it."""
    return text(key).replace("~", "~0").replace("/", "~1")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "jsonpatch.escapeKey": escape_key,
    "contains": contains,
    "startsWith": starts_with,
    "endsWith": ends_with,
    "matches": matches,
    "charAt": char_at,
    "indexOf": index_of,
    "lastIndexOf": last_index_of,
    "lowerAscii": lower,
    "upperAscii": upper,
    "replace": replace,
    "split": split,
    "join": join,
    "substring": substring,
    "trim": trim,
    "strings.quote": quote,
}
