"""The authorities that a cluster file names: read from the operator's machine and judged."""

from __future__ import annotations

import datetime
from pathlib import Path

from kdist.lifecycle.spec import ClusterSettings, Problem
from kdist.pki import custom
from kdist.pki.issue import Pair

KEY = "kdist_authorities"


def read(
    settings: ClusterSettings, base: Path, now: datetime.datetime
) -> tuple[dict[str, Pair], list[Problem]]:
    """Every authority that can be used by its name, and everything that is wrong with the others.

    Relative paths are relative to ``base``.
    """
    pairs: dict[str, Pair] = {}
    problems = []
    for name, places in (settings.authorities or {}).items():
        try:
            pair = Pair(*((base / places[what]).read_bytes() for what in ("certificate", "key")))
        except OSError as error:
            problems.append(Problem("all", KEY, f"{name}: {error.filename}: {error.strerror}"))
            continue
        told = custom.faults(pair, now)
        problems += [Problem("all", KEY, f"{name}: {reason}") for reason in told]
        if not told:
            pairs[name] = Pair(custom.authority(pair.certificate), pair.key)
    return pairs, problems
