"""How a gRPC call ends: its status code, and whether the request can have reached the server."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

OK = 0
CANCELLED = 1
UNKNOWN = 2
DEADLINE_EXCEEDED = 4
RESOURCE_EXHAUSTED = 8
OUT_OF_RANGE = 11
INTERNAL = 13
UNAVAILABLE = 14
# etcd without a leader lets our own deadline pass, and tells of it as of something that it does not know.
_ENDED = {
    (UNKNOWN, "context deadline exceeded"): DEADLINE_EXCEEDED,
    (UNKNOWN, "context canceled"): CANCELLED,
}


class RpcError(Exception):
    """A call that failed. ``unsent``: the server has surely not seen the request."""

    def __init__(self, code: int, details: str, *, unsent: bool = False) -> None:
        super().__init__(f"status {code}: {details}")
        self.code, self.details, self.unsent = code, details, unsent

    @classmethod
    def of(cls, trailers: Mapping[str, str]) -> RpcError | None:
        """What an answer's last headers say; None for success."""
        status = trailers.get("grpc-status")
        if status == "0":
            return None
        if status is None and trailers.get(":status") == "200":
            # A member that stops ends what it has begun to answer like this.
            return cls(UNAVAILABLE, "the answer ended without a status")
        if status is None or not status.isdecimal():
            return cls(UNKNOWN, f"no gRPC server: HTTP status {trailers.get(':status', 'unknown')}")
        details = unquote(trailers.get("grpc-message", ""))
        return cls(_ENDED.get((int(status), details), int(status)), details)
