"""Liveness, readiness and startup probes: handlers, thresholds, one task per probe."""
