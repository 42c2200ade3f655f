"""What is recorded of one request while it is under way: handlers leave here what belongs into its event."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime

import orjson

from kdist.api.meta import Obj
from kdist.apiserver.audit.policy import REQUEST, Extent
from kdist.apiserver.audit.policy import REQUEST_RESPONSE as WHOLE
from kdist.apiserver.authn.user import User
from kdist.apiserver.authz import Decision

KEPT_ANSWER = 16 * 1024 * 1024  # bytes of an answer that are recorded; larger ones are left out


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
        self.received_at = datetime.now(UTC)
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
