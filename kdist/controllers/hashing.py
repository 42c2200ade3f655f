"""Short, label-safe names of templates, and the comparison that decides whether two templates are the same."""

from __future__ import annotations

from typing import Any

import orjson

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: no words


def canonical(value: Any) -> Any:
    """The value without what means nothing: null, empty maps and empty lists."""
    if isinstance(value, dict):
        cleaned = {k: canonical(v) for k, v in value.items()}
        return {k: v for k, v in cleaned.items() if v is not None and v != {} and v != []}
    if isinstance(value, list):
        return [canonical(v) for v in value]
    return value


def short_hash(value: Any, collisions: int = 0) -> str:
    """FNV-1a (32 bits) of the canonical JSON; ``collisions`` makes another name for the same value."""
    data = orjson.dumps(canonical(value), option=orjson.OPT_SORT_KEYS)
    if collisions:
        data += str(collisions).encode()
    digest = 2166136261
    for byte in data:
        digest = ((digest ^ byte) * 16777619) & 0xFFFFFFFF
    # As many characters as the decimal digits of the number, each made of one.
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(digest))
