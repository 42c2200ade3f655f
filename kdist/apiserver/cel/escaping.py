"""Names of properties as expressions write them: ``a-b`` is ``a__dash__b``."""

from __future__ import annotations

import re

_KEYWORDS = """
true false null in as break const continue else for function if import let loop package namespace return var void while
"""
RESERVED = frozenset(_KEYWORDS.split())
_ALLOWED = re.compile(r"[a-zA-Z_.\-/][a-zA-Z0-9_.\-/]*")
_EXPAND = re.compile(r"__|[-./]")
_UNEXPAND = re.compile(r"__([^_]+)__")
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_UNESCAPES = {name.strip("_"): text for text, name in _ESCAPES.items()}


def escape(name: str) -> str | None:
    """The identifier for a property; None when it has none."""
    if not _ALLOWED.fullmatch(name):
        return None
    if name in RESERVED:
        return f"__{name}__"
    return _EXPAND.sub(lambda match: _ESCAPES[match.group()], name)


def unescape(name: str) -> str:
    """The property of an identifier."""
    if "__" not in name:
        return name
    if name.startswith("__") and name[2:-2] in RESERVED and name.endswith("__"):
        return name[2:-2]
    return _UNEXPAND.sub(lambda match: _UNESCAPES.get(match[1], match[0]), name)
