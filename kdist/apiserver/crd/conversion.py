"""Conversion of custom objects between versions by a webhook, as the definition's ``spec.conversion`` says.

One ConversionReview converts any number of objects. What the webhook may change is the content, labels and
annotations; everything else of the metadata stays what it was.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from dataclasses import dataclass
from typing import Any

import orjson

from kdist.api.errors import InternalError
from kdist.api.meta import Obj
from kdist.apiserver.admission.webhooks.client import CallError, WebhookClient
from kdist.apiserver.admission.webhooks.configuration import ServiceReference

TIMEOUT_SECONDS = 30
REVIEW_VERSIONS = ("v1", "v1beta1")
_MAY_CHANGE = ("labels", "annotations")
_MUST_STAY = (("name", "name"), ("namespace", "namespace"), ("uid", "UID"))


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a definition's webhook is; what :class:`WebhookClient` calls."""

    url: str
    service: ServiceReference | None
    path: str
    ca_bundle: bytes
    review_version: str
    timeout: int = TIMEOUT_SECONDS


def webhook_of(crd: Obj) -> Webhook | None:
    """The webhook of a definition; None when versions differ in nothing but their name."""
    conversion = crd["spec"].get("conversion") or {}
    if conversion.get("strategy") != "Webhook":
        return None
    webhook = conversion.get("webhook") or {}
    client = webhook.get("clientConfig") or {}
    service = client.get("service")
    known = (v for v in webhook.get("conversionReviewVersions") or () if v in REVIEW_VERSIONS)
    return Webhook(
        client.get("url") or "",
        ServiceReference(service["namespace"], service["name"], service.get("port") or 443)
        if service
        else None,
        (service or {}).get("path") or "/",
        _decoded(client.get("caBundle") or ""),
        next(known, "v1"),
    )


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b"-"  # no certificate: every call fails and says so


class WebhookConverter:
    """Converts the objects of one definition."""

    def __init__(self, client: WebhookClient, webhook: Webhook) -> None:
        self._client, self._webhook = client, webhook

    async def convert(self, objects: list[Obj], to: str) -> list[Obj]:
        """The objects in the version ``to`` (GROUP/VERSION), in one call; InternalError when that fails."""
        asked = [obj for obj in objects if obj["apiVersion"] != to]
        if not asked:
            return objects
        told = f"{asked[0]['apiVersion']}, Kind={asked[0]['kind']}"
        try:
            answered = await self._ask(asked, to)
        except (CallError, _Malformed) as error:
            raise InternalError(f"conversion webhook for {told} failed: {error}") from error
        if len(answered) != len(asked):
            raise InternalError(
                f"conversion webhook for {told} returned {len(answered)} objects, expected {len(asked)}"
            )
        pairs = enumerate(zip(asked, answered, strict=True))
        converted = iter([_checked(old, new, to, told, at) for at, (old, new) in pairs])
        return [next(converted) if obj["apiVersion"] != to else obj for obj in objects]

    async def _ask(self, objects: list[Obj], to: str) -> list[Any]:
        identity = str(uuid.uuid4())
        version = f"apiextensions.k8s.io/{self._webhook.review_version}"
        request = {"uid": identity, "desiredAPIVersion": to, "objects": objects}
        review = {"kind": "ConversionReview", "apiVersion": version, "request": request}
        body = await self._client.ask(self._webhook, review)
        return _objects(body, version, identity)


class _Malformed(Exception):
    """The webhook answered, but not with a review that can be used."""


def _objects(body: bytes, version: str, identity: str) -> list[Any]:
    try:
        review = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _Malformed(f"the answer is no JSON: {error}") from error
    have = (review.get("apiVersion"), review.get("kind")) if isinstance(review, dict) else ("", "")
    if have != (version, "ConversionReview"):
        wanted = f"{version}, Kind=ConversionReview"
        raise _Malformed(f"expected webhook response of {wanted}, got {have[0]}, Kind={have[1]}")
    response = review.get("response")
    if not isinstance(response, dict):
        raise _Malformed("no response provided")
    if version.endswith("/v1") and response.get("uid") != identity:
        raise _Malformed(f'expected response.uid="{identity}", got "{response.get("uid", "")}"')
    result = response.get("result") or {}
    if result.get("status") != "Success":
        unnamed = f"response.result.status was '{result.get('status', '')}', not 'Success'"
        raise _Malformed(result.get("message") or unnamed)
    converted = response.get("convertedObjects") or []
    if not isinstance(converted, list):
        raise _Malformed("response.convertedObjects is no list")
    return converted


def _checked(old: Obj, new: Any, to: str, told: str, at: int) -> Obj:
    """The converted object with the metadata that it had. InternalError when it is not the same object."""
    opening = f"conversion webhook for {told} returned invalid converted object at index {at}: "
    if not isinstance(new, dict):
        raise InternalError(f"{opening}it is no object")
    if new.get("apiVersion") != to:
        raise InternalError(
            f"{opening}invalid groupVersion (expected {to}, received {new.get('apiVersion', '')})"
        )
    if new.get("kind") != old["kind"]:
        raise InternalError(f"{opening}invalid kind (expected {old['kind']}, received {new.get('kind', '')})")
    metadata = new.get("metadata")
    if not isinstance(metadata, dict):
        raise InternalError(f"{opening}missing metadata in converted object")
    for field, name in _MUST_STAY:
        before, after = old["metadata"].get(field, ""), metadata.get(field, "")
        if before != after:
            raise InternalError(f"{opening}must have the same {name}: {before} != {after}")
    kept = {key: value for key, value in old["metadata"].items() if key not in _MAY_CHANGE}
    return {**new, "metadata": {**kept, **_texts(metadata, opening)}}


def _texts(metadata: Obj, opening: str) -> Obj:
    """Labels and annotations of the webhook's making."""
    found: Obj = {}
    for field in _MAY_CHANGE:
        pairs = metadata.get(field)
        if pairs is None:
            continue
        if not isinstance(pairs, dict) or not all(isinstance(v, str) for v in pairs.values()):
            raise InternalError(f"{opening}invalid metadata.{field}")
        if pairs:
            found[field] = pairs
    return found
