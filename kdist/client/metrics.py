"""The published ``workqueue_*`` metrics, labelled by the queue's name."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
_LABELS = ("name",)

DEPTH = Gauge("workqueue_depth", "Keys that wait.", _LABELS)
ADDS = Counter("workqueue_adds", "Keys added.", _LABELS)
RETRIES = Counter("workqueue_retries", "Keys added again after a failure.", _LABELS)
QUEUE_SECONDS = Histogram(
    "workqueue_queue_duration_seconds", "Seconds from being added to being taken.", _LABELS, buckets=_BUCKETS
)
WORK_SECONDS = Histogram(
    "workqueue_work_duration_seconds", "Seconds of work on one key.", _LABELS, buckets=_BUCKETS
)
