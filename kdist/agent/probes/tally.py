"""A probe's settings and the counting of its results. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kdist.api.meta import Obj


class Kind(Enum):
    """What a probe decides."""

    STARTUP = "startupProbe"
    LIVENESS = "livenessProbe"
    READINESS = "readinessProbe"

    @property
    def word(self) -> str:
        """As events say it: ``Readiness``."""
        return self.value.removesuffix("Probe").capitalize()


@dataclass(frozen=True, slots=True)
class Settings:
    """One probe of a container with the API's defaults; times in seconds."""

    kind: Kind
    action: dict[str, Any]
    initial_delay: float = 0.0
    timeout: float = 1.0
    period: float = 10.0
    success_threshold: int = 1
    failure_threshold: int = 3
    grace: int | None = None

    @classmethod
    def of(cls, kind: Kind, probe: Obj) -> Settings:
        """From the API's probe object."""
        return cls(
            kind,
            {k: probe[k] for k in ("exec", "httpGet", "tcpSocket", "grpc") if probe.get(k)},
            float(probe.get("initialDelaySeconds") or 0),
            float(probe.get("timeoutSeconds") or 1),
            float(probe.get("periodSeconds") or 10),
            int(probe.get("successThreshold") or 1),
            int(probe.get("failureThreshold") or 3),
            probe.get("terminationGracePeriodSeconds"),
        )


@dataclass(slots=True)
class Tally:
    """Results in a row turn into a verdict: None before the first one that counts."""

    settings: Settings
    verdict: bool | None = None
    _last: bool | None = field(default=None)
    _run: int = 0
    _tries: int = 0

    def add(self, ok: bool) -> bool:
        """Count one result; whether the verdict changed."""
        self._run = self._run + 1 if ok is self._last else 1
        self._last = ok
        self._tries += 1
        needed = self.settings.success_threshold if ok else self.settings.failure_threshold
        if self._run < needed or self.verdict is ok:
            return False
        self.verdict = ok
        return True

    def next_pause(self) -> float:
        """Seconds until the next try. A container that was never ready is asked sooner than its period:
        it is most likely just starting, and the period is meant for the time after that."""
        if self.settings.kind is Kind.READINESS and self.verdict is None and self._last is False:
            return float(min(self.settings.period, 0.2 * 2 ** min(self._tries - 1, 10)))
        return self.settings.period
