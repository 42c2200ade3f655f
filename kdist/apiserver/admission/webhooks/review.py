"""AdmissionReview of admission.k8s.io/v1: the question to a webhook and its answer. Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

import orjson

from kdist.api import errors
from kdist.api.errors import ApiError, BadRequest
from kdist.api.kinds import Kind
from kdist.apiserver.admission.base import Request
from kdist.apiserver.ports import Obj

API_VERSION = "admission.k8s.io/v1"
_OPTIONS = {"create": "CreateOptions", "update": "UpdateOptions", "delete": "DeleteOptions"}


class InvalidResponse(Exception):
    """The webhook's answer is no AdmissionReview for the question."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a webhook said. ``result`` is the Status of a refusal, ``patch`` a decoded JSON patch."""

    allowed: bool
    result: Obj = field(default_factory=dict)
    patch: list[dict[str, Any]] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()


def question(request: Request, kind: Kind, uid: str, obj: Obj | None, old: Obj | None) -> Obj:
    """The AdmissionReview to send, with the objects in the version of ``kind``."""
    subject = obj or old or {}
    group, _, version = subject.get("apiVersion", "").rpartition("/")
    sent_kind = {"group": group, "version": version, "kind": subject.get("kind", kind.kind)}
    original = request.obj or request.old or {}
    group, _, version = original.get("apiVersion", "").rpartition("/")
    asked: Obj = {
        "uid": uid,
        "kind": sent_kind,
        "resource": _resource(kind),
        "requestKind": {"group": group, "version": version, "kind": sent_kind["kind"]},
        "requestResource": _resource(request.resource),
        "operation": request.verb.upper(),
        "userInfo": request.user.as_info(),
        "object": obj,
        "oldObject": old,
        "dryRun": request.dry_run,
        "options": _options(request),
    }
    if request.subresource:
        asked["subResource"] = asked["requestSubResource"] = request.subresource
    namespace = request.name if request.resource.kind == "Namespace" else request.namespace
    asked.update({key: value for key, value in (("name", request.name), ("namespace", namespace)) if value})
    return {"kind": "AdmissionReview", "apiVersion": API_VERSION, "request": asked}


def _resource(kind: Kind) -> Obj:
    return {"group": kind.group, "version": kind.version, "resource": kind.plural}


def _options(request: Request) -> Obj | None:
    kind = _OPTIONS.get(request.verb)
    if kind is None:
        return None
    options: Obj = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
    return {**options, "dryRun": ["All"]} if request.dry_run else options


def answer(body: bytes, uid: str, *, may_patch: bool) -> Answer:
    """Read what a webhook answered. InvalidResponse."""
    try:
        review = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidResponse(f"couldn't parse the answer: {error}") from error
    if not isinstance(review, dict):
        raise InvalidResponse("the answer is no object")
    have = (review.get("apiVersion"), review.get("kind"))
    if have != (API_VERSION, "AdmissionReview"):
        told = (
            f"expected webhook response of {API_VERSION}, Kind=AdmissionReview, got {have[0]}, Kind={have[1]}"
        )
        raise InvalidResponse(told)
    response = review.get("response")
    if not isinstance(response, dict):
        raise InvalidResponse("webhook response was absent")
    if response.get("uid") != uid:
        raise InvalidResponse(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    return Answer(
        allowed=response.get("allowed") is True,
        result=response.get("status") or {},
        patch=_patch(response, may_patch),
        warnings=tuple(response.get("warnings") or ()),
        annotations=tuple((response.get("auditAnnotations") or {}).items()),
    )


def _patch(response: Obj, may_patch: bool) -> list[dict[str, Any]]:
    patch, kind = response.get("patch"), response.get("patchType")
    if not patch and not kind:
        return []
    if not may_patch:
        raise InvalidResponse("response.patch may not be set by a validating webhook")
    if not patch:
        raise InvalidResponse("webhook returned response.patchType but not response.patch")
    if kind != "JSONPatch":
        told = f'unsupported response.patchType "{kind}", expected JSONPatch'
        raise InvalidResponse(told if kind else "webhook returned response.patch but not response.patchType")
    try:
        decoded = orjson.loads(base64.b64decode(patch))
    except (binascii.Error, orjson.JSONDecodeError) as error:
        raise InvalidResponse(f"response.patch cannot be decoded: {error}") from error
    if not isinstance(decoded, list):
        raise InvalidResponse("response.patch is no list of operations")
    return decoded


def refusal(name: str, result: Obj) -> ApiError:
    """The error of a webhook that said no: its own status code when that is one of a failure."""
    denied = f'admission webhook "{name}" denied the request'
    told = result.get("message") or result.get("reason")
    message = f"{denied}: {told}" if told else f"{denied} without explanation"
    code = max(int(result.get("code") or 0), BadRequest.code)
    error = errors.from_status({**result, "message": message}, code)
    # what the webhook chose may be a combination that no class of the tree has
    error.__dict__.update(code=code, reason=result.get("reason") or "")
    return error


def failure(name: str, why: str) -> errors.InternalError:
    """The error of a webhook that could not be asked."""
    told = f'failed calling webhook "{name}": {why}'
    return errors.InternalError(f"Internal error occurred: {told}", causes=(errors.Cause("", told, ""),))


def dry_run_unsupported(name: str) -> BadRequest:
    """The error of a dry run that would call a webhook with side effects."""
    return BadRequest(f'admission webhook "{name}" does not support dry run')
