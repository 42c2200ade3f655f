"""Functions that find parts of texts by pattern."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from kdist.apiserver.cel import patterns
from kdist.apiserver.cel.library.strings import number, text


def find(value: Any, pattern: Any) -> str:
    """The first match, or nothing."""
    match = patterns.compile(text(pattern)).search(text(value))
    return str(match.group(0)) if match else ""


def find_all(value: Any, pattern: Any, most: Any = -1) -> list[str]:
    """The matches from left to right, at most as many as asked for."""
    matches = patterns.compile(text(pattern)).finditer(text(value))
    limit = number(most)
    return [match.group(0) for match in (matches if limit < 0 else islice(matches, limit))]


FUNCTIONS: dict[str, Callable[..., Any]] = {"find": find, "findAll": find_all}
