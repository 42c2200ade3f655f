"""Metrics for one event loop: plain numbers while serving, Prometheus text when somebody asks.

prometheus_client takes a lock and builds a label tuple per observation, a few microseconds each: too much for
what every request counts. A :class:`Value` or :class:`Distribution` here is a Python object that its owner keeps
and changes in place; a family only knows how to write them down. Only the loop's own thread may touch them.

Families register themselves in :data:`FAMILIES` and are written by :func:`exposition` together with whatever
is registered with prometheus_client.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from prometheus_client import REGISTRY, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[str, ...]
# (name suffix, labels as written with braces, value)
Sample = tuple[str, str, float]


class Value:
    """One number: a counter that only grows, or a gauge."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class Distribution:
    """Observations in buckets; ``counts`` are not cumulative, the last one is beyond every bound."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many observations there were."""
        return sum(self.counts)


class Family:
    """All series of one name. ``at`` finds or makes the series of some label values."""

    def __init__(self, name: str, help: str, labels: Iterable[str], type: str, *, alpha: bool) -> None:
        self.name, self.type = name, type
        self._help = f"[{'ALPHA' if alpha else 'STABLE'}] {help}"
        self._labels = tuple(labels)
        FAMILIES.append(self)

    def write(self, samples: Iterable[Sample]) -> Iterator[str]:
        """The family in text format; nothing when it has no series."""
        lines = [f"{self.name}{suffix}{labels} {_number(value)}" for suffix, labels, value in samples]
        if lines:
            yield f"# HELP {self.name} {self._help}"
            yield f"# TYPE {self.name} {self.type}"
            yield from lines

    def lines(self) -> Iterator[str]:
        """The family in text format."""
        raise NotImplementedError

    def braces(self, values: Labels, extra: str = "") -> str:
        """``{a="x",b="y"}``."""
        pairs = [f'{name}="{_escaped(value)}"' for name, value in zip(self._labels, values, strict=True)]
        if extra:
            pairs.append(extra)
        return "{" + ",".join(pairs) + "}" if pairs else ""


FAMILIES: list[Family] = []


class Values(Family):
    """Counters or gauges by labels."""

    def __init__(
        self,
        name: str,
        help: str,
        labels: Iterable[str] = (),
        *,
        type: Literal["counter", "gauge"] = "counter",
        alpha: bool = False,
    ) -> None:
        super().__init__(name, help, labels, type, alpha=alpha)
        self._series: dict[Labels, Value] = {}

    def at(self, *values: str) -> Value:
        """The series of these label values."""
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = Value()
        return series

    def forget(self, *values: str) -> None:
        """Drop a series whose subject is gone."""
        self._series.pop(values, None)

    def lines(self) -> Iterator[str]:
        """See :class:`Family`."""
        return self.write(("", self.braces(at), series.value) for at, series in self._series.items())


class Distributions(Family):
    """Histograms by labels."""

    def __init__(
        self,
        name: str,
        help: str,
        labels: Iterable[str] = (),
        *,
        bounds: Sequence[float],
        alpha: bool = False,
    ) -> None:
        super().__init__(name, help, labels, "histogram", alpha=alpha)
        self._bounds = tuple(bounds)
        self._series: dict[Labels, Distribution] = {}

    def at(self, *values: str) -> Distribution:
        """The series of these label values."""
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = Distribution(self._bounds)
        return series

    def lines(self) -> Iterator[str]:
        """See :class:`Family`."""
        return self.write(self._samples())

    def _samples(self) -> Iterator[Sample]:
        for at, series in self._series.items():
            total = 0
            for bound, count in zip((*map(_number, self._bounds), "+Inf"), series.counts, strict=True):
                total += count
                yield "_bucket", self.braces(at, f'le="{bound}"'), total
            yield "_sum", self.braces(at), series.sum
            yield "_count", self.braces(at), total


class Computed(Family):
    """Series that exist only when asked for: ``read`` gives (label values, number)."""

    def __init__(
        self,
        name: str,
        help: str,
        labels: Iterable[str] = (),
        *,
        type: Literal["counter", "gauge"] = "gauge",
        alpha: bool = False,
    ) -> None:
        super().__init__(name, help, labels, type, alpha=alpha)
        self.read: Callable[[], Iterable[tuple[Labels, float]]] = tuple

    def lines(self) -> Iterator[str]:
        """See :class:`Family`."""
        return self.write(("", self.braces(at), value) for at, value in self.read())


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def exponential(first: float, factor: float, count: int) -> tuple[float, ...]:
    """Bounds that grow by a factor."""
    return tuple(first * factor**n for n in range(count))


def exposition() -> bytes:
    """Every metric of this process in Prometheus' text format."""
    own = "\n".join(line for family in FAMILIES for line in family.lines())
    return own.encode() + b"\n" + generate_latest(REGISTRY)
