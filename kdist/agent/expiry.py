"""How long the certificates of this host serve: metrics for whoever watches, warnings in the log for who does not.

A control plane's certificates and its authorities are among them, so one alert on all agents covers the cluster.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kdist.pki import survey
from kdist.telemetry import log

_log = log.get(__name__)
KEPT_SECONDS = 60.0  # several scrapers share one look at the disk
WARN_SECONDS = 6 * 3600.0  # between two warnings


class Expiry(Collector):
    """The metric ``kdist_certificate_expiration_timestamp_seconds`` of every certificate below ``root``."""

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.time) -> None:
        self._root, self._clock = root, clock
        self._looked = float("-inf")
        self._found: list[survey.Certificate] = []
        self._unreadable: list[survey.Unreadable] = []

    def _look(self) -> None:
        if self._clock() - self._looked >= KEPT_SECONDS:
            self._looked = self._clock()
            self._found, self._unreadable = survey.look(self._root)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """See prometheus_client."""
        self._look()
        ends = GaugeMetricFamily(
            "kdist_certificate_expiration_timestamp_seconds",
            "When a certificate of this host ends, in seconds since the epoch.",
            labels=["path", "subject", "issuer"],
        )
        for one in self._found:
            ends.add_metric([f"/{one.path}", one.subject, one.issuer], one.not_after)
        bad = GaugeMetricFamily(
            "kdist_certificate_unreadable_files", "Files that should hold a certificate and do not."
        )
        bad.add_metric([], len(self._unreadable))
        return [ends, bad, *self._own()]

    def _own(self) -> Iterable[GaugeMetricFamily]:
        """The agent's own certificates, by upstream's names."""
        for part in ("client", "server"):
            left = GaugeMetricFamily(
                f"kubelet_certificate_manager_{part}_ttl_seconds",
                f"Seconds until the agent's {part} certificate ends; negative when it has ended.",
            )
            for one in self._found:
                if one.path == f"{survey.AGENT_DIR}/kubelet-{part}-current.pem":
                    left.add_metric([], one.not_after - self._clock())
                    yield left

    def warnings(self) -> list[str]:
        """What is near its end or has ended, the nearest first."""
        self._look()
        now = self._clock()
        told = []
        for one in survey.near(self._found, now):
            when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(one.not_after))
            told.append(f"/{one.path} {'ended' if one.not_after <= now else 'ends'} on {when}")
        return told

    async def warn(self) -> None:
        """Tell warnings in the log, now and every few hours."""
        while True:
            for told in self.warnings():
                _log.warning("a certificate is near its end: run site.yml to renew it", certificate=told)
            await asyncio.sleep(WARN_SECONDS)
