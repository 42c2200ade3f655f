"""JSON merge patch, RFC 7386: null deletes, objects merge, everything else replaces."""

from __future__ import annotations

from copy import deepcopy
from typing import Any


def apply(document: Any, patch: Any) -> Any:
    """The patched document; the arguments stay as they are."""
    if not isinstance(patch, dict):
        return deepcopy(patch)
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply(result.get(key), value)
    return result
