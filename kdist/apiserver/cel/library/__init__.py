"""The functions of expressions, by name. A function takes values and dispatches on their types.

It raises EvaluationError; what it costs is ``kdist.apiserver.cel.costs``' matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kdist.apiserver.cel.library import (
    addresses,
    arithmetic,
    authorization,
    collections,
    conversions,
    formats,
    formatting,
    optionals,
    quantities,
    regex,
    strings,
    times,
    urls,
)

FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: function
    for module in (
        addresses,
        arithmetic,
        authorization,
        collections,
        conversions,
        formats,
        formatting,
        optionals,
        quantities,
        regex,
        strings,
        times,
        urls,
    )
    for name, function in module.FUNCTIONS.items()
}
