"""The scheduler's metrics, under upstream's names."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (
    0.001,
    0.002,
    0.004,
    0.008,
    0.016,
    0.032,
    0.064,
    0.128,
    0.256,
    0.512,
    1.024,
    2.048,
    4.096,
    8.192,
    16.384,
)

ATTEMPTS = Counter("scheduler_schedule_attempts", "Attempts to place pods, by result.", ["result", "profile"])
ATTEMPT_SECONDS = Histogram(
    "scheduler_scheduling_attempt_duration_seconds",
    "Time of an attempt, from taking the pod to having it bound.",
    ["result", "profile"],
    buckets=_SECONDS,
)
ALGORITHM_SECONDS = Histogram(
    "scheduler_scheduling_algorithm_duration_seconds", "Time to choose a node.", buckets=_SECONDS
)
POD_SECONDS = Histogram(
    "scheduler_pod_scheduling_sli_duration_seconds",
    "Time from seeing a pod to having it bound, all attempts together.",
    ["attempts"],
    buckets=(*_SECONDS, 32.768, 65.536, 131.072, 262.144, 524.288),
)
PENDING = Gauge("scheduler_pending_pods", "Pods that wait, by queue.", ["queue"])
CACHE_SIZE = Gauge("scheduler_cache_size", "What the cache holds, by type.", ["type"])
PREEMPTIONS = Counter("scheduler_preemption_attempts", "Attempts to make room by eviction.")
VICTIMS = Histogram(
    "scheduler_preemption_victims", "Pods evicted per preemption.", buckets=(1, 2, 4, 8, 16, 32, 64)
)
