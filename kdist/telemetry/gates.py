"""The metric that tells which feature gates a component runs with."""

from __future__ import annotations

from prometheus_client import Gauge

from kdist.api.features import Features

_ENABLED = Gauge("kubernetes_feature_enabled", "1 for a feature gate that is on, else 0.", ("name", "stage"))


def publish(features: Features) -> None:
    """Show the gates of this process in its metrics; those of an earlier call are forgotten."""
    _ENABLED.clear()
    for gate, stage in features.known():
        _ENABLED.labels(gate, stage.name).set(features(gate))
