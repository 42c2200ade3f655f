"""The server's metrics, under upstream's names, labels and buckets.

What every request counts are plain numbers of this process (:mod:`kdist.telemetry.series`).
"""

from __future__ import annotations

import functools
import time

from kdist.apiserver.requestinfo import LONG_RUNNING_SUBRESOURCES
from kdist.telemetry.series import Computed, Distributions, Value, Values, exponential

_RESOURCE = ("verb", "group", "version", "resource", "subresource", "scope", "component")
_DURATIONS = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5),
    *(2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0),
)

REQUESTS = Values(
    "apiserver_request_total", "Requests by verb, resource and code.", (*_RESOURCE, "dry_run", "code")
)
DURATION = Distributions(
    "apiserver_request_duration_seconds",
    "Response latency, watches and streams apart.",
    (*_RESOURCE, "dry_run"),
    bounds=_DURATIONS,
)
SIZES = Distributions(
    "apiserver_response_sizes", "Bytes of answers to reads.", _RESOURCE, bounds=exponential(1000, 10, 7)
)
INFLIGHT = Values(
    "apiserver_current_inflight_requests",
    "Requests being executed, watches and streams apart.",
    ("request_kind",),
    type="gauge",
)
LONG_RUNNING = Values(
    "apiserver_longrunning_requests", "Watches and streams now open.", _RESOURCE, type="gauge"
)
OBJECTS = Computed("apiserver_storage_objects", "Stored objects of the resources in use.", ("resource",))
AUTHENTICATIONS = Values("authentication_attempts", "Authentications by result.", ("result",), alpha=True)
AUTHORIZATIONS = Values("authorization_attempts_total", "Authorizations by result.", ("result",), alpha=True)
_IDENTITY_BOUNDS = exponential(0.001, 2, 15)
AUTHENTICATION_SECONDS = Distributions(
    "authentication_duration_seconds",
    "Seconds of authenticating.",
    ("result",),
    bounds=_IDENTITY_BOUNDS,
    alpha=True,
)
AUTHORIZATION_SECONDS = Distributions(
    "authorization_duration_seconds",
    "Seconds of authorizing.",
    ("result",),
    bounds=_IDENTITY_BOUNDS,
    alpha=True,
)
_ADMISSION_BOUNDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5)
ADMISSION_STEPS = Distributions(
    "apiserver_admission_step_admission_duration_seconds",
    "Seconds of all plug-ins of a step.",
    ("type", "operation", "rejected"),
    bounds=_ADMISSION_BOUNDS,
)
ADMISSION_PLUGINS = Distributions(
    "apiserver_admission_controller_admission_duration_seconds",
    "Seconds of one plug-in.",
    ("name", "type", "operation", "rejected"),
    bounds=_ADMISSION_BOUNDS,
)
_HOOK = ("name", "type", "operation")
WEBHOOK_SECONDS = Distributions(
    "apiserver_admission_webhook_admission_duration_seconds",
    "Seconds of one webhook.",
    (*_HOOK, "rejected"),
    bounds=(*_ADMISSION_BOUNDS, 10.0, 25.0),
)
WEBHOOK_REQUESTS = Values(
    "apiserver_admission_webhook_request_total",
    "Requests to webhooks by the code of their answer.",
    (*_HOOK, "code", "rejected"),
    alpha=True,
)
WEBHOOK_REJECTIONS = Values(
    "apiserver_admission_webhook_rejection_count",
    "Requests that a webhook, or its failure, refused.",
    (*_HOOK, "error_type", "rejection_code"),
    alpha=True,
)
WEBHOOK_FAIL_OPEN = Values(
    "apiserver_admission_webhook_fail_open_count",
    "Failures of webhooks that were ignored.",
    ("name", "type"),
    alpha=True,
)
_CHECK = ("policy", "policy_binding", "error_type", "enforcement_action")
POLICY_CHECKS = Values(
    "apiserver_validating_admission_policy_check_total",
    "Checks by admission policies and what came of them.",
    _CHECK,
)
POLICY_SECONDS = Distributions(
    "apiserver_validating_admission_policy_check_duration_seconds",
    "Seconds of one policy with one binding.",
    _CHECK,
    bounds=(0.0000005, 0.001, 0.01, 0.1, 1.0),
)
STORAGE_SIZE = Values(
    "apiserver_storage_size_bytes",
    "Bytes that the storage's database takes.",
    ("storage_cluster_id",),
    type="gauge",
)
DEPRECATED = Values(
    "apiserver_requested_deprecated_apis",
    "1 for a deprecated API that was asked for.",
    ("group", "version", "resource", "subresource", "removed_release"),
    type="gauge",
)
WATCH_EVENTS = Values(
    "apiserver_watch_events_total", "Events sent to watches.", ("group", "version", "kind"), alpha=True
)
_ETCD = ("operation", "type")
STORAGE_SECONDS = Distributions(
    "etcd_request_duration_seconds", "Seconds per request.", _ETCD, bounds=_DURATIONS, alpha=True
)
STORAGE_REQUESTS = Values("etcd_requests_total", "Requests to storage.", _ETCD, alpha=True)
STORAGE_ERRORS = Values("etcd_request_errors_total", "Failed requests to storage.", _ETCD, alpha=True)
STORAGE_LISTS = Values("apiserver_storage_list_total", "Lists of storage.", ("resource",), alpha=True)
STORAGE_FETCHED = Values(
    "apiserver_storage_list_fetched_objects_total", "Objects read for lists.", ("resource",), alpha=True
)
STORAGE_RETURNED = Values(
    "apiserver_storage_list_returned_objects_total", "Objects returned by lists.", ("resource",), alpha=True
)
ENCRYPTION_RELOADS = Values(
    "apiserver_encryption_config_controller_automatic_reloads",
    "Reloads of the encryption configuration by outcome.",
    ("status",),
    alpha=True,
)
ENCRYPTION_CONFIG = Values(
    "apiserver_encryption_config_controller_last_config_info",
    "1 for the encryption configuration in force; its hash is that of the file.",
    ("hash",),
    type="gauge",
    alpha=True,
)
BUILD = Values(
    "kubernetes_build_info",
    "Always 1; the labels tell the version.",
    ("major", "minor", "git_version"),
    type="gauge",
    alpha=True,
)

_COMPONENT = "apiserver"
_GONE = 499  # the client left before it was answered


class RequestSeries:
    """The time series of requests with the same labels: looking them up costs more than counting."""

    __slots__ = ("_codes", "_duration", "_labels", "_sizes", "running")

    def __init__(self, *labels: str) -> None:
        *resource, dry_run = labels
        verb, subresource = resource[0], resource[4]
        resource.append(_COMPONENT if resource[3] else "")
        self._labels = (*resource, dry_run)
        long = verb in ("WATCH", "CONNECT") or subresource in LONG_RUNNING_SUBRESOURCES
        kind = "readOnly" if verb in ("GET", "HEAD", "LIST") else "mutating"
        #: How many are under way.
        self.running: Value = LONG_RUNNING.at(*resource) if long else INFLIGHT.at(kind)
        self._duration = None if long else DURATION.at(*self._labels)
        self._sizes = SIZES.at(*resource) if verb in ("GET", "LIST") and not long else None
        self._codes: dict[int, Value] = {}

    def end(self, begun: float, code: int, size: int) -> float:
        """A request ends: its status code, 0 when there was no answer, and its bytes. The seconds it took."""
        self.running.value -= 1
        took = time.monotonic() - begun
        if self._duration is not None:
            self._duration.observe(took)
            if self._sizes is not None:
                self._sizes.observe(size)
        counter = self._codes.get(code)
        if counter is None:
            counter = self._codes[code] = REQUESTS.at(*self._labels, str(code or _GONE))
        counter.value += 1
        return took


request_series = functools.lru_cache(maxsize=None)(RequestSeries)
