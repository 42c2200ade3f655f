"""W3C trace context: the ids that came with a request go on to whoever is asked on its behalf.

Spans are not collected here: a caller's trace is told in logs and stays whole across this server.
"""

from __future__ import annotations

import contextvars
import random
import re

HEADER = "traceparent"
_FORM = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")

#: The trace context of the request at hand; empty when it came without one.
current: contextvars.ContextVar[str] = contextvars.ContextVar("traceparent", default="")


def ids(traceparent: str) -> dict[str, str]:
    """Trace and span for a log; empty for what is no trace context."""
    found = _FORM.fullmatch(traceparent)
    return {"trace": found[1], "span": found[2]} if found else {}


def outgoing() -> dict[str, str]:
    """The headers of a call made for the request at hand: its trace, with a span of our own."""
    found = _FORM.fullmatch(current.get())
    if found is None:
        return {}
    return {HEADER: f"00-{found[1]}-{random.getrandbits(64) or 1:016x}-{found[3]}"}
