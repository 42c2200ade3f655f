"""Settings of ``kdist dev``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdist.api.features import DEFAULT_LEVEL, LEVELS
from kdist.config.base import option


@dataclass(frozen=True, kw_only=True)
class DevSettings:
    """A control plane on this machine, in one process, for development and tests."""

    storage: str = option("memory", help="memory (gone when the process ends) or etcd.")
    etcd_servers: tuple[str, ...] = option(
        ("http://127.0.0.1:2379",), help="URLs of the etcd to use with --storage etcd."
    )
    only: str | None = option(
        None,
        help="'apiserver' runs nothing but the API server. Default: controllers, scheduler and nodes too.",
    )
    nodes: int = option(2, help="Simulated nodes: pods on them turn Running, but run nothing.")
    port: int = option(6443, help="Port on 127.0.0.1; 0 takes a free one.")
    dir: Path = option(
        Path.home() / ".kdist" / "dev",
        help="Where certificates and admin.kubeconfig are written; kept from run to run.",
    )
    api_level: str = option(DEFAULT_LEVEL, help=f"The API level to run: {' or '.join(LEVELS)}.")
    feature_gates: tuple[str, ...] = option((), help="GATE=true|false pairs, for every part.")
    runtime_config: tuple[str, ...] = option(
        (), help="GROUP/VERSION=true|false pairs: what the API server serves besides the stable versions."
    )
    log_level: str = option("warning", help="debug, info, warning or error.")
