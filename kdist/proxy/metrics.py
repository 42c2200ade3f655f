"""The proxy's metrics, under upstream's names where upstream has the metric."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

# From a tenth of a millisecond (one Service) to seconds (a table of many thousands on a busy host).
_SECONDS = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

SYNC_SECONDS = Histogram(
    "kubeproxy_sync_proxy_rules_duration_seconds", "Time to apply changes to nftables.", buckets=_SECONDS
)
FULL_SYNC_SECONDS = Histogram(
    "kubeproxy_sync_full_proxy_rules_duration_seconds",
    "Time to write the whole table.",
    buckets=_SECONDS,
)
LAST_SYNC = Gauge(
    "kubeproxy_sync_proxy_rules_last_timestamp_seconds", "When changes were last applied, Unix time."
)
LAST_QUEUED = Gauge(
    "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
    "When a change was last noticed, Unix time.",
)
SYNC_FAILURES = Counter(
    "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
    "Transactions that nftables refused.",
)
SERVICES = Gauge("kdist_proxy_services", "Services that have rules on this node.")
FORGOTTEN_FLOWS = Counter("kdist_proxy_conntrack_flows_deleted", "Stale UDP flows that were deleted.")
