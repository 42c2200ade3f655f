"""Metrics of several processes as one: texts of Prometheus' format, added up.

Counters, histograms and most gauges add up. What every process knows for itself about the same thing does not: of
that the largest is told, and of start times the earliest.
"""

from __future__ import annotations

from collections.abc import Iterable

_LARGEST = (
    *("kubernetes_build_info", "kubernetes_feature_enabled", "python_info", "process_max_fds"),
    *("apiserver_storage_size_bytes",),
    *("apiserver_storage_objects", "apiserver_flowcontrol_current_r", "apiserver_flowcontrol_seat_fair_frac"),
)
_EARLIEST = ("process_start_time_seconds",)


def merge(texts: Iterable[str]) -> str:
    """One text from several."""
    heads: dict[str, list[str]] = {}  # of a family: its HELP and TYPE
    values: dict[str, dict[str, float]] = {}  # by family, by series
    for text in texts:
        family = ""
        for line in text.splitlines():
            if line.startswith("# "):
                _, kind, family, _ = [*line.split(" ", 3), ""][:4]
                head = heads.setdefault(family, [])
                if len(head) < 2 and not any(known.startswith(f"# {kind} ") for known in head):
                    head.append(line)
            elif line:
                series, _, value = line.rpartition(" ")
                found = values.setdefault(family, {})
                number = float(value)
                found[series] = _together(family, found[series], number) if series in found else number
    lines: list[str] = []
    for family, found in values.items():
        lines += heads.get(family, [])
        lines += [f"{series} {_written(value)}" for series, value in found.items()]
    return "\n".join(lines) + "\n"


def _together(family: str, one: float, other: float) -> float:
    if family in _LARGEST:
        return max(one, other)
    return min(one, other) if family in _EARLIEST else one + other


def _written(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
