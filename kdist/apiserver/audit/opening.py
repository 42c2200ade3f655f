"""Puts the auditor of the settings together: its policy, and where its events go."""

from __future__ import annotations

from kdist.apiserver.audit import policy as policies
from kdist.apiserver.audit.auditor import Auditor
from kdist.apiserver.audit.batching import Backend, Blocking, Buffered, Fitting
from kdist.apiserver.audit.logfile import LogFile
from kdist.apiserver.audit.webhook import Webhook
from kdist.config.apiserver import ApiServerSettings


def open_auditor(settings: ApiServerSettings) -> Auditor | None:
    """The auditor that the settings ask for; None without a policy or without a backend. ValueError, OSError."""
    if settings.audit_policy_file is None:
        return None
    policy = policies.load(settings.audit_policy_file)
    backends: list[Backend] = []
    if settings.audit_log_path:
        backends.append(_log_backend(settings))
    if settings.audit_webhook_config_file is not None:
        backends.append(_webhook_backend(settings))
    return Auditor(policy, backends) if backends else None


def _log_backend(settings: ApiServerSettings) -> Backend:
    if settings.audit_log_format not in ("json", "legacy"):
        raise ValueError(
            f"--audit-log-format: invalid format {settings.audit_log_format}, allowed are json, legacy"
        )
    backend: Backend = LogFile(
        settings.audit_log_path,
        legacy=settings.audit_log_format == "legacy",
        max_megabytes=settings.audit_log_maxsize,
        max_days=settings.audit_log_maxage,
        max_backups=settings.audit_log_maxbackup,
        compress=settings.audit_log_compress,
    )
    backend = _in_mode(backend, "log", settings.audit_log_mode, settings.audit_log_batch_buffer_size, 1, 0.0)
    if settings.audit_log_truncate_enabled:
        most, batch = settings.audit_log_truncate_max_event_size, settings.audit_log_truncate_max_batch_size
        return Fitting(backend, most, batch)
    return backend


def _webhook_backend(settings: ApiServerSettings) -> Backend:
    assert settings.audit_webhook_config_file is not None
    backend: Backend = Webhook(
        settings.audit_webhook_config_file, initial_backoff=settings.audit_webhook_initial_backoff
    )
    backend = _in_mode(
        backend,
        "webhook",
        settings.audit_webhook_mode,
        settings.audit_webhook_batch_buffer_size,
        settings.audit_webhook_batch_max_size,
        settings.audit_webhook_batch_max_wait,
        qps=settings.audit_webhook_batch_throttle_qps,
    )
    if settings.audit_webhook_truncate_enabled:
        return Fitting(
            backend,
            settings.audit_webhook_truncate_max_event_size,
            settings.audit_webhook_truncate_max_batch_size,
        )
    return backend


def _in_mode(
    backend: Backend, name: str, mode: str, buffer: int, size: int, wait: float, *, qps: float = 0.0
) -> Backend:
    if mode == "blocking-strict":
        return backend
    if mode == "blocking":
        return Blocking(backend)
    if mode != "batch":
        raise ValueError(
            f"--audit-{name}-mode: invalid mode {mode}, allowed are batch, blocking, blocking-strict"
        )
    if buffer <= 0 or size <= 0:
        raise ValueError(f"--audit-{name}-batch-*: buffer and batch sizes must be positive numbers")
    return Buffered(backend, name, buffer=buffer, size=size, wait=wait, qps=qps)
