"""The server's metrics, under upstream's names."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram

from kdist.apiserver.requestinfo import LONG_RUNNING_SUBRESOURCES

_LABELS = ("verb", "group", "version", "resource", "subresource", "scope")
_DURATIONS = (
    0.005,
    0.025,
    0.05,
    0.1,
    0.2,
    0.4,
    0.6,
    0.8,
    1.0,
    1.25,
    1.5,
    2,
    3,
    4,
    5,
    6,
    8,
    10,
    15,
    20,
    30,
    45,
    60,
)

REQUESTS = Counter(
    "apiserver_request_total", "Requests by verb, resource and code.", (*_LABELS, "dry_run", "code")
)
DURATION = Histogram(
    "apiserver_request_duration_seconds",
    "Response latency, watches and streams apart.",
    _LABELS,
    buckets=_DURATIONS,
)
INFLIGHT = Gauge(
    "apiserver_current_inflight_requests",
    "Requests being executed, watches and streams apart.",
    ("request_kind",),
)
LONG_RUNNING = Gauge("apiserver_longrunning_requests", "Watches and streams now open.", _LABELS)
OBJECTS = Gauge("apiserver_storage_objects", "Stored objects of the resources in use.", ("resource",))
ENCRYPTION_RELOADS = Counter(
    "apiserver_encryption_config_controller_automatic_reloads",
    "Reloads of the encryption configuration by outcome.",
    ("status",),
)
BUILD = Gauge(
    "kubernetes_build_info", "Always 1; the labels tell the version.", ("major", "minor", "git_version")
)

_GONE = 499  # the client left before it was answered


class RequestSeries:
    """The time series of requests with the same labels: looking them up costs more than counting."""

    def __init__(self, *labels: str) -> None:
        verb, *_, subresource, _scope = labels
        self._labels = labels
        self._long = verb == "WATCH" or subresource in LONG_RUNNING_SUBRESOURCES
        kind = "readOnly" if verb in ("GET", "HEAD", "LIST") else "mutating"
        self._running = LONG_RUNNING.labels(*labels) if self._long else INFLIGHT.labels(kind)
        self._duration = None if self._long else DURATION.labels(*labels)
        self._codes: dict[tuple[str, int], Counter] = {}

    def begin(self) -> float:
        """A request begins; give the result to :meth:`end`."""
        self._running.inc()
        return time.monotonic()

    def end(self, begun: float, code: int, dry_run: Sequence[str] | None) -> None:
        """A request ends: its status code, 0 when there was no answer, and its dryRun parameter."""
        self._running.dec()
        if self._duration is not None:
            self._duration.observe(time.monotonic() - begun)
        dry = "" if not dry_run else "All" if set(dry_run) == {"All"} else "invalid"
        counter = self._codes.get((dry, code))
        if counter is None:
            counter = self._codes[dry, code] = REQUESTS.labels(*self._labels, dry, str(code or _GONE))
        counter.inc()


request_series = functools.lru_cache(maxsize=None)(RequestSeries)
