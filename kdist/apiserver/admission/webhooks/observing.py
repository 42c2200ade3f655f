"""What webhooks did, as metrics and as annotations of audit events, under upstream's names."""

from __future__ import annotations

import time

import orjson

from kdist.api.errors import ApiError
from kdist.apiserver import metrics
from kdist.apiserver.admission.base import Request
from kdist.apiserver.admission.webhooks.configuration import Hook
from kdist.apiserver.admission.webhooks.review import Answer

MUTATION, PATCH = "mutation.webhook.admission.k8s.io/", "patch.webhook.admission.k8s.io/"
VALIDATION, FAILED_OPEN = "validating.webhook.admission.k8s.io/", "failed-open."
_OK, _MOST = 200, 600
CALLING, NO_ERROR = "calling_webhook_error", "no_error"


class Observed:
    """One question to one webhook. ``type`` is admit or validating, ``at`` its place among those of the request."""

    __slots__ = ("_at", "_begun", "_hook", "_labels", "_request", "_type")

    def __init__(self, hook: Hook, request: Request, type: str, at: int) -> None:
        self._hook, self._request, self._type, self._at = hook, request, type, at
        self._labels = (hook.name, type, request.verb.upper())
        self._begun = time.monotonic()

    def allowed(self, answer: Answer) -> None:
        """The webhook has nothing against it."""
        self._count(_OK, rejected=False)
        for key, value in answer.annotations:
            self._request.annotate(f"{self._hook.name}/{key}", value)

    def refused(self, answer: Answer, error: ApiError) -> None:
        """The webhook says no."""
        for key, value in answer.annotations:
            self._request.annotate(f"{self._hook.name}/{key}", value)
        self._count(error.code, rejected=True)
        metrics.WEBHOOK_REJECTIONS.at(*self._labels, NO_ERROR, _code(error.code)).value += 1

    def failed(self) -> None:
        """The webhook could not be asked; what then is its failure policy's to say."""
        rejected = not self._hook.ignore_failure
        self._count(0, rejected=rejected)
        if rejected:
            metrics.WEBHOOK_REJECTIONS.at(*self._labels, CALLING, "0").value += 1
            return
        metrics.WEBHOOK_FAIL_OPEN.at(self._hook.name, self._type).value += 1
        prefix = VALIDATION if self._type == "validating" else MUTATION
        self._request.annotate(f"{FAILED_OPEN}{prefix}{self._place()}", self._hook.name)

    def mutated(self, answer: Answer, *, changed: bool) -> None:
        """Tell the audit log whether the webhook changed the object, and how."""
        about = {"configuration": self._hook.configuration, "webhook": self._hook.name}
        told = orjson.dumps({**about, "mutated": changed}).decode()
        self._request.annotate(f"{MUTATION}{self._place()}", told)
        if changed:
            patch = {**about, "patch": answer.patch, "patchType": "JSONPatch"}
            self._request.annotate(f"{PATCH}{self._place()}", orjson.dumps(patch).decode())

    def _place(self) -> str:
        return f"round_{int(self._request.rounds.second)}_index_{self._at}"

    def _count(self, code: int, *, rejected: bool) -> None:
        told = str(rejected).lower()
        metrics.WEBHOOK_SECONDS.at(*self._labels, told).observe(time.monotonic() - self._begun)
        metrics.WEBHOOK_REQUESTS.at(*self._labels, _code(code), told).value += 1


def _code(code: int) -> str:
    return str(min(code, _MOST))
