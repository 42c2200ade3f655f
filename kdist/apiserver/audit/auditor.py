"""Follows requests through their stages and hands events to where they go.

The application calls ``received`` when the user is known, ``started`` when the answer begins and ``ended`` when it is
out. Between them handlers leave what belongs into the event on the :class:`Record`.
"""

from __future__ import annotations

import asyncio
import gzip
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson
import yaml

from kdist.api.errors import InternalError
from kdist.api.meta import Obj
from kdist.apiserver.audit import policy as policies
from kdist.apiserver.audit.batching import Backend, Blocking, Buffered, Fitting
from kdist.apiserver.audit.events import Event, without_managed_fields
from kdist.apiserver.audit.logfile import LogFile
from kdist.apiserver.audit.policy import (
    COMPLETE,
    LEVELS,
    METADATA,
    PANIC,
    RECEIVED,
    REQUEST,
    STARTED,
    Extent,
    Policy,
)
from kdist.apiserver.audit.policy import REQUEST_RESPONSE as WHOLE
from kdist.apiserver.audit.webhook import Webhook
from kdist.apiserver.authn.user import User
from kdist.apiserver.authz import Decision
from kdist.apiserver.request import Message, Request
from kdist.config.apiserver import ApiServerSettings
from kdist.telemetry.series import Values

AGENT_LIMIT = 1024
KEPT_ANSWER = 16 * 1024 * 1024  # bytes of an answer that are recorded; larger ones are left out
SLOW_SECONDS = 0.5
#: Of annotations that tell content, which only events with objects may.
PATCH_ANNOTATION = "patch.webhook.admission.k8s.io/"
_LEVEL_COUNTS = Values("apiserver_audit_level_total", "Requests by audit level.", ("level",), alpha=True)
_EVENT_COUNT = Values("apiserver_audit_event_total", "Audit events made.", alpha=True)
_REJECTED = Values(
    "apiserver_audit_requests_rejected_total",
    "Requests refused because their audit event could not be kept.",
    alpha=True,
)


class Record:
    """What is recorded of one request."""

    __slots__ = (
        "annotations",
        "answer",
        "encoding",
        "extent",
        "impersonated",
        "received_at",
        "ref",
        "request_body",
        "status",
        "user",
    )

    def __init__(self, extent: Extent, user: User | None) -> None:
        self.extent, self.user = extent, user
        self.received_at = _now()
        self.impersonated: User | None = None
        self.annotations: dict[str, str] = {}
        self.ref: dict[str, str] = {}  # of the object, where the request does not say it
        self.request_body: bytes | None = None
        self.answer: list[bytes] | None = None
        self.encoding = ""
        self.status: Obj | None = None

    def decide(self, decision: Decision) -> None:
        """What the authorizer said."""
        self.annotations["authorization.k8s.io/decision"] = "allow" if decision.allowed else "forbid"
        self.annotations["authorization.k8s.io/reason"] = decision.reason

    def take_body(self, body: bytes) -> None:
        """The request's body as it came: patches are recorded like this, objects until they are decoded."""
        if self.extent.level >= REQUEST and body:
            self.request_body = body

    def take_object(self, obj: Obj) -> None:
        """The request's object, decoded."""
        metadata = obj.get("metadata") or {}
        if not isinstance(metadata, dict):
            return
        for key in ("namespace", "name", "uid", "resourceVersion"):
            if isinstance(metadata.get(key), str) and metadata[key]:
                self.ref[key] = metadata[key]
        if self.extent.level >= REQUEST:
            self.request_body = orjson.dumps(obj)

    def keep(self, code: int, headers: list[tuple[bytes, bytes]], *, streams: bool) -> None:
        """The answer begins: decide whether its body is wanted."""
        found = {name.lower(): value for name, value in headers}
        is_json = found.get(b"content-type", b"").startswith(b"application/json")
        if is_json and not streams and (code >= 400 or self.extent.level >= WHOLE):
            self.answer = []
            self.encoding = found.get(b"content-encoding", b"").decode("latin-1")

    def answered(self) -> bytes | None:
        """The answer's body, when it is recorded and not too large."""
        if not self.answer or sum(map(len, self.answer)) > KEPT_ANSWER:
            return None
        body = b"".join(self.answer)
        return gzip.decompress(body) if self.encoding == "gzip" else body


class Auditor:
    """One per server."""

    def __init__(self, policy: Policy, backends: list[Backend]) -> None:
        self._policy, self._backends = policy, backends

    async def run(self) -> None:
        """Let backends work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for backend in self._backends:
                tasks.create_task(backend.run(), name="audit")
            await asyncio.Event().wait()  # most backends have nothing to do: to return would stop the server

    async def close(self) -> None:
        """Deliver what is buffered."""
        for backend in self._backends:
            await backend.close()

    # ----- stages

    async def received(self, request: Request, user: User | None) -> None:
        """The user is known, or known not to be. InternalError when the event must be kept and cannot be."""
        extent = self._policy.extent(user, request.info)
        _LEVEL_COUNTS.at(LEVELS[extent.level]).value += 1
        if extent.level < METADATA:
            return
        request.audit = Record(extent, user)
        if not await self._tell(request, RECEIVED, None):
            _REJECTED.at().value += 1
            raise InternalError("failed to store audit event")

    async def unauthenticated(self, request: Request) -> None:
        """Nobody knows who asks: there will be an answer, and one event about it."""
        extent = self._policy.extent(None, request.info)
        _LEVEL_COUNTS.at(LEVELS[extent.level]).value += 1
        if extent.level < METADATA:
            return
        request.audit = record = Record(extent, None)
        tried = ", ".join(_credentials(request)) or "no credentials"
        record.status = {"message": f"Authentication failed, attempted: {tried}"}

    async def follow(self, request: Request, message: Message) -> None:
        """A part of the answer goes out."""
        record = request.audit
        assert record is not None
        if message["type"] == "http.response.start":
            streams = request.info.is_long_running
            record.keep(message["status"], message["headers"], streams=streams)
            if streams or record.user is None:
                await self._tell(request, STARTED, message["status"])
        elif record.answer is not None:
            record.answer.append(message.get("body", b""))

    async def ended(self, request: Request, code: int, *, panicked: bool) -> None:
        """The answer is out, or a defect kept it from being."""
        record = request.audit
        assert record is not None
        if record.user is None:
            return
        took = (_now() - record.received_at).total_seconds()
        if took > SLOW_SECONDS and not request.info.is_long_running:
            record.annotations["apiserver.latency.k8s.io/total"] = f"{took * 1000:.6f}ms"
        await self._tell(request, PANIC if panicked else COMPLETE, code)

    async def _tell(self, request: Request, stage: str, code: int | None) -> bool:
        record = request.audit
        assert record is not None
        if stage in record.extent.omitted:
            return True
        event = Event.of(_data(request, record, stage, code))
        _EVENT_COUNT.at().value += 1
        kept = True
        for backend in self._backends:
            kept = await backend.process([event]) and kept
        return kept


def _credentials(request: Request) -> list[str]:
    kind, _, rest = request.header(b"authorization").strip().partition(" ")
    found = [kind.lower()] if rest and kind.lower() in ("basic", "bearer") else []
    if request.param("access_token"):
        found.append("access_token")
    return found


def _now() -> datetime:
    return datetime.now(UTC)


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06d}Z"


def _data(request: Request, record: Record, stage: str, code: int | None) -> Obj:
    level = record.extent.level
    agent = request.header(b"user-agent")
    if len(agent) > AGENT_LIMIT:
        agent = f"{agent[:AGENT_LIMIT]}...TRUNCATED"
    data: Obj = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": LEVELS[level],
        "auditID": request.audit_id,
        "stage": stage,
        "requestURI": _uri(request),
        "verb": request.info.verb,
        "user": record.user.as_info() if record.user is not None else {},
        "impersonatedUser": record.impersonated.as_info() if record.impersonated is not None else None,
        "sourceIPs": _sources(request),
        "userAgent": agent,
        "objectRef": _reference(request, record),
        "responseStatus": None,
        "requestReceivedTimestamp": _stamp(record.received_at),
        "stageTimestamp": _stamp(_now()),
    }
    if stage != RECEIVED:
        _add_objects(data, record, code)
        given = request.audit_annotations
        if record.extent.level < REQUEST:  # patches are parts of objects
            given = {key: value for key, value in given.items() if not key.startswith(PATCH_ANNOTATION)}
        if annotations := {**given, **record.annotations, **_deprecation(request)}:
            data["annotations"] = annotations
    return {key: value for key, value in data.items() if value not in (None, "", [])}


def _add_objects(data: Obj, record: Record, code: int | None) -> None:
    body = record.answered()
    data["responseStatus"] = _status(record, body, code)
    omits = record.extent.without_managed_fields
    if record.request_body is not None and (sent := _as_json(record.request_body)) is not None:
        data["requestObject"] = orjson.Fragment(without_managed_fields(sent) if omits else sent)
    if body is not None and record.extent.level >= WHOLE:
        data["responseObject"] = orjson.Fragment(without_managed_fields(body) if omits else body)


def _status(record: Record, body: bytes | None, code: int | None) -> Obj:
    if record.status is not None:
        return {"metadata": {}, **record.status, "code": code or 500}
    if not code:
        return {"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200}
    if code >= 400 and body is not None:
        try:
            status: Any = orjson.loads(body)
        except orjson.JSONDecodeError:
            status = None
        if isinstance(status, dict) and status.get("kind") == "Status":
            return {key: value for key, value in status.items() if key not in ("kind", "apiVersion")}
    return {"metadata": {}, "code": code}


def _as_json(body: bytes) -> bytes | None:
    """A body that came as YAML becomes JSON; what is neither is left out."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            return orjson.dumps(yaml.safe_load(body))
        except (yaml.YAMLError, TypeError, ValueError):
            return None
    return body


def _deprecation(request: Request) -> dict[str, str]:
    """No version that is served is deprecated unless a custom resource says so."""
    warned = [text for text in request.warnings if " is deprecated" in text]
    return {"k8s.io/deprecated": "true"} if warned else {}


def _uri(request: Request) -> str:
    raw: bytes = request.scope.get("raw_path") or quote(request.path).encode()
    query: bytes = request.scope["query_string"]
    return (raw + b"?" + query if query else raw).decode("latin-1")


def _sources(request: Request) -> list[str]:
    """Whom the request went through, then who is connected."""
    named = [part.strip() for part in request.header(b"x-forwarded-for").split(",")]
    real, client = request.header(b"x-real-ip").strip(), request.scope.get("client")
    found = [*named, real, client[0] if client else ""]
    return list(dict.fromkeys(source for source in found if source))


def _reference(request: Request, record: Record) -> Obj | None:
    info = request.info
    if not info.is_resource:
        return None
    reference = {
        "resource": info.plural,
        "namespace": info.namespace or record.ref.get("namespace", ""),
        "name": info.name or record.ref.get("name", ""),
        "uid": record.ref.get("uid", ""),
        "apiGroup": info.group,
        "apiVersion": info.version,
        "resourceVersion": record.ref.get("resourceVersion", ""),
        "subresource": info.subresource,
    }
    return {key: value for key, value in reference.items() if value}


# ----- putting together


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
