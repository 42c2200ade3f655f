"""Settings of the scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdist.api.features import DEFAULT_LEVEL
from kdist.config.base import option


@dataclass(frozen=True, kw_only=True)
class SchedulerSettings:
    """Flags of ``kdist scheduler``."""

    kubeconfig: Path = option(help="File with the API servers and this component's credentials.")
    leader_elect: bool = option(
        True, help="Whether to hold a Lease before scheduling, so that several replicas may run."
    )
    healthz_bind_address: str = option(
        "127.0.0.1:10259", help="HOST:PORT of /livez, /readyz and /metrics; loopback by default."
    )
    scheduler_name: str = option(
        "default-scheduler", help="Pods with this spec.schedulerName are ours; the API's default."
    )
    parallel_bindings: int = option(
        64, help="Bindings under way at once: enough to hide the API server's latency, no more."
    )
    api_level: str = option(DEFAULT_LEVEL, help="The API level whose defaults the feature gates have.")
    feature_gates: tuple[str, ...] = option(
        (), help="GATE=true|false pairs that change what the API level has on by default."
    )
    log_level: str = option("info", help="Least severe level that is logged: debug, info, warning, error.")
