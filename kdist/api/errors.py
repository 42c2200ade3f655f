"""The error tree of the Kubernetes API: every refusal is one of these, on both sides of the wire.

The server raises them and answers their :meth:`ApiError.status`; the client parses a Status answer back into
the same class with :func:`from_status`. Callers branch on the class, never on the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Cause:
    """One field that is wrong: ``reason`` is a CauseType (FieldValueInvalid, FieldValueRequired, ...)."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"


def _cause(cause: Cause) -> dict[str, str]:
    """A metav1.StatusCause; what is empty is left out."""
    told = {"reason": cause.reason, "message": cause.message, "field": cause.field}
    return {key: value for key, value in told.items() if value}


class ApiError(Exception):
    """Base of the tree. ``details`` is metav1.StatusDetails without causes; ``headers`` go on the answer."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        causes: tuple[Cause, ...] = (),
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.causes = causes
        self.details = details or {}
        #: Upstream's router tells details even where there are none; so does whoever passes an empty dict.
        self._tells_details = details is not None
        self.headers = headers or {}
        self.metadata: dict[str, Any] = {}  # metav1.ListMeta of the Status: where to continue

    def status(self) -> dict[str, Any]:
        """The metav1.Status of this error."""
        details = dict(self.details)
        if self.causes:
            details["causes"] = [_cause(c) for c in self.causes]
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if details or self._tells_details:
            status["details"] = details
        return status


class BadRequest(ApiError):
    """The request cannot be understood."""

    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    """No valid credentials."""

    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    """Known, but not allowed."""

    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    """No such object, or no such resource."""

    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    """The resource does not have this verb."""

    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    """None of the accepted media types can be served."""

    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    """An object of that name exists."""

    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    """The optimistic lock (resourceVersion), a precondition or field ownership failed."""

    code, reason = 409, "Conflict"


class Gone(ApiError):
    """The resource is not available any more."""

    code, reason = 410, "Gone"


class Expired(ApiError):
    """The resourceVersion or continue token is too old: list again."""

    code, reason = 410, "Expired"


class RequestEntityTooLarge(ApiError):
    """The body is over the limit."""

    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    """The body's content type is not one that the verb takes."""

    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    """The object does not validate; causes name the fields."""

    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    """Try again later; details.retryAfterSeconds and the Retry-After header say when."""

    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    """A defect or a broken dependency on the server's side."""

    code, reason = 500, "InternalError"


class ServiceUnavailable(ApiError):
    """The server cannot answer now (starting, stopping, no storage)."""

    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    """The operation did not finish in time; it may still take effect."""

    code, reason = 504, "Timeout"


def _all(cls: type[ApiError]) -> list[type[ApiError]]:
    return [cls, *(leaf for sub in cls.__subclasses__() for leaf in _all(sub))]


def _details(group: str, plural: str, name: str) -> dict[str, Any]:
    details = {"name": name, "kind": plural, "group": group}
    return {key: value for key, value in details.items() if value}


def _qualified(group: str, plural: str) -> str:
    return f"{plural}.{group}" if group else plural


def not_found(group: str, plural: str, name: str) -> NotFound:
    """``pods "x" not found`` in upstream's words and details."""
    return NotFound(f'{_qualified(group, plural)} "{name}" not found', details=_details(group, plural, name))


def already_exists(group: str, plural: str, name: str) -> AlreadyExists:
    """``pods "x" already exists``."""
    return AlreadyExists(
        f'{_qualified(group, plural)} "{name}" already exists', details=_details(group, plural, name)
    )


def conflict(group: str, plural: str, name: str, why: str) -> Conflict:
    """An optimistic-lock failure with upstream's opening words, which clients match on."""
    return Conflict(
        f'Operation cannot be fulfilled on {_qualified(group, plural)} "{name}": {why}',
        details=_details(group, plural, name),
    )


def invalid(group: str, kind: str, name: str, causes: list[Cause]) -> Invalid:
    """``Pod "x" is invalid: field: message`` with one cause per field."""
    qualified = f"{kind}.{group}" if group else kind
    told = [f"{c.field}: {c.message}" for c in causes]
    text = told[0] if len(told) == 1 else "[" + ", ".join(told) + "]"
    return Invalid(
        f'{qualified} "{name}" is invalid: {text}',
        causes=tuple(causes),
        details=_details(group, kind, name),
    )


def from_status(status: dict[str, Any], code: int) -> ApiError:
    """The error a server's Status (or, when it is none, its HTTP code) stands for."""
    by_reason = {cls.reason: cls for cls in _all(ApiError) if "reason" in vars(cls)}
    by_code = {cls.code: cls for cls in reversed(_all(ApiError)) if cls is not ApiError}
    by_code[409], by_code[410] = Conflict, Expired
    cls = by_reason.get(status.get("reason", "")) or by_code.get(code) or ApiError
    details = dict(status.get("details") or {})
    causes = tuple(
        Cause(c.get("field", ""), c.get("message", ""), c.get("reason", ""))
        for c in details.pop("causes", None) or ()
    )
    return cls(status.get("message") or f"HTTP {code}", causes=causes, details=details)
