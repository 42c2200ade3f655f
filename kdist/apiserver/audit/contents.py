"""What an event says of a request: who, from where, what, the objects and the answer as far as the policy wants."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson
import yaml

from kdist.api.meta import Obj
from kdist.apiserver.audit.events import without_managed_fields
from kdist.apiserver.audit.policy import LEVELS, RECEIVED, REQUEST
from kdist.apiserver.audit.policy import REQUEST_RESPONSE as WHOLE
from kdist.apiserver.audit.record import Record
from kdist.apiserver.request import Request

AGENT_LIMIT = 1024
#: Of annotations that tell content, which only events with objects may.
PATCH_ANNOTATION = "patch.webhook.admission.k8s.io/"


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06d}Z"


def event_of(request: Request, record: Record, stage: str, code: int | None) -> Obj:
    """The Event of a request at a stage, without what is empty."""
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
        "stageTimestamp": _stamp(datetime.now(UTC)),
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
    """Whether the version that was asked for is on its way out."""
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
