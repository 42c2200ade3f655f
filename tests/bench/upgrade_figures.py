"""What a client noticed of an upgrade, from the journal and what the client counted. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figures:
    """Times in seconds. ``gaps``: control plane to the last API failure after it left, from its first."""

    took: float
    steps: list[tuple[str, float]]
    acknowledged: int
    reads: int
    lost: int
    api_failures: list[tuple[float, str]]
    gaps: Mapping[str, float]
    outside: list[tuple[float, str]]
    service: int
    service_failures: list[tuple[float, str]]
    write_p99: float
    # (began, ended, step)
    spans: list[tuple[float, float, str]]

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """What, goal, figure."""
        yield "time", "300 s", f"{self.took:.0f} s"
        yield "acknowledged writes that are gone", "0", f"{self.lost} of {self.acknowledged}"
        yield "failed service requests", "0", f"{len(self.service_failures)} of {self.service}"
        longest = max(self.gaps.values(), default=0.0)
        yield "API failures after a control plane left last for", "5 s", f"{longest:.1f} s"
        yield "API failures at other times", "0", str(len(self.outside))
        total = self.acknowledged + self.reads
        yield "API failures in all", "", f"{len(self.api_failures)} of {total}"
        yield "write p99", "", f"{self.write_p99 * 1000:.0f} ms"

    def remarks(self) -> Iterator[str]:
        """What lies behind the figures."""
        yield ""
        kinds = dict[str, float]()
        for name, seconds in self.steps:
            kinds[name.rpartition("/")[2]] = kinds.get(name.rpartition("/")[2], 0.0) + seconds
        yield "Kinds of steps: " + ", ".join(f"{kind} {seconds:.0f} s" for kind, seconds in kinds.items())
        yield "Steps: " + ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.steps)
        for name, gap in self.gaps.items():
            yield f"{name}: API failures over {gap:.1f} s"
        for what, failures in (("API", self.outside), ("service", self.service_failures)):
            for (step, text), times in self._grouped(failures).items():
                yield f"{what}, {step}, {times[0]:.1f} to {times[-1]:.1f} s, {len(times)} times: {text}"

    def _grouped(self, failures: list[tuple[float, str]]) -> dict[tuple[str, str], list[float]]:
        """Seconds since a step began at which the same failure was met, by step and text."""
        found = dict[tuple[str, str], list[float]]()
        for at, text in failures:
            began, step = next(
                ((b, name) for b, _, name in reversed(self.spans) if b <= at), (self.spans[0][0], "before")
            )
            found.setdefault((step, text), []).append(at - began)
        return found


def figures(journal: Mapping[str, Any], seen: Mapping[str, Any], lost: set[str], took: float) -> Figures:
    """Put failures down to the control plane under way when they began."""
    entries = journal["entries"]
    failures = sorted([*map(tuple, seen["writes"]["failures"]), *map(tuple, seen["reads"]["failures"])])
    away = {
        e["host"]: (e["began"], e["ended"])
        for e in entries
        if e["name"].endswith("/upgrade") and e["host"].startswith("cp")
    }
    gaps, outside = dict[str, float](), list[tuple[float, str]]()
    for at, text in failures:
        host = next((h for h, (began, ended) in away.items() if began <= at <= ended + 5), None)
        if host is None:
            outside.append((at, text))
            continue
        first = next(t for t, _ in failures if t >= away[host][0])
        gaps[host] = max(gaps.get(host, 0.0), at - first)
    lasted = [(e["name"], e["ended"] - e["began"]) for e in entries]
    seconds = seen["writes"]["seconds"] or [0.0]
    return Figures(
        took,
        lasted,
        len(seen["acknowledged"]),
        seen["reads"]["done"],
        len(lost),
        failures,
        gaps,
        outside,
        seen["service"]["done"],
        [(at, text) for at, text in seen["service"]["failures"]],
        statistics.quantiles(seconds, n=100)[98] if len(seconds) > 1 else seconds[0],
        sorted((e["began"], e["ended"], e["name"]) for e in entries),
    )
