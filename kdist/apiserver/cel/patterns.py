"""Regular expressions in the syntax that upstream has, matched in time linear in the text (RE2)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from kdist.apiserver.cel.errors import EvaluationError


@lru_cache(maxsize=1024)
def compile(pattern: str) -> Any:
    """A compiled pattern with ``search`` and ``finditer``. EvaluationError."""
    import re2  # a server without expressions does not pay for it

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        told = error.args[0]
        told = told.decode() if isinstance(told, bytes) else str(told)
        raise EvaluationError(f"error parsing regexp: {told}") from error
