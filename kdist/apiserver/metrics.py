"""The server's metrics, under upstream's names."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

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
