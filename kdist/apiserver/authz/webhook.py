"""Authorization by the word of a webhook: it gets a SubjectAccessReview and allows, denies or has no opinion.

Decisions are asked for from code that does not wait (:meth:`kdist.apiserver.authz.authorizer.Authorizer.settle`): an
answer that is not known yet is :class:`Unasked`, is fetched, and the question is put again.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

import orjson

from kdist.api.errors import ApiError
from kdist.apiserver.authz.attributes import NO_OPINION, Attributes, Decision
from kdist.apiserver.ports import Obj
from kdist.client.rest import Client, Unreachable
from kdist.telemetry import log

_log = log.get(__name__)
CACHED_ANSWERS = 8192
KEY_LIMIT = 10_000  # bytes of names in a request that is worth keeping an answer for
ATTEMPTS, FIRST_PAUSE = 5, 0.5  # as upstream's back-off: each pause is 1.5 times the last
# Answers that were fetched for the question being put now, whatever the cache keeps.
FETCHED: ContextVar[dict[tuple[int, bytes], Decision] | None] = ContextVar("fetched", default=None)
# Whether the webhook is to be asked about a review at all. True, False, or None when it cannot be told.
Condition = Callable[[Obj], bool | None]


class Unasked(Exception):
    """The webhook has to be asked first."""

    def __init__(self, mode: WebhookMode, key: bytes, review: Obj) -> None:
        super().__init__("the authorization webhook has not been asked")
        self.mode, self.key, self.review = mode, key, review


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """How to ask. Times in seconds; ``deny_on_failure`` False has no opinion when the webhook fails."""

    name: str
    version: str = "v1"
    timeout: float = 30.0
    authorized_ttl: float = 300.0
    unauthorized_ttl: float = 30.0
    deny_on_failure: bool = False
    conditions: Sequence[Condition] = ()


class WebhookMode:
    """One webhook in the chain."""

    def __init__(
        self, client: Client, settings: WebhookSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._settings, self._clock = client, settings, clock
        self._opened = False
        self._answers: OrderedDict[bytes, tuple[float, Decision]] = OrderedDict()

    def authorize(self, attributes: Attributes) -> Decision:
        """What the webhook says. Raises Unasked while that is not known."""
        review = spec_of(attributes)
        if self._settings.conditions:
            matches = self._matches(review)
            if matches is None:
                return self._on_failure()
            if not matches:
                return NO_OPINION
        key = orjson.dumps(review)
        fetched = FETCHED.get()
        if fetched is not None and (id(self), key) in fetched:
            return fetched[id(self), key]
        until, decision = self._answers.get(key, (float("-inf"), NO_OPINION))
        if until >= self._clock():
            return decision
        raise Unasked(self, key, review)

    def _matches(self, review: Obj) -> bool | None:
        """Whether every condition holds. One that is false decides; else one that fails does."""
        outcomes = [condition(review) for condition in self._settings.conditions]
        if False in outcomes:
            return False
        return None if None in outcomes else True

    def _on_failure(self) -> Decision:
        return Decision(denied=True) if self._settings.deny_on_failure else NO_OPINION

    async def fetch(self, key: bytes, review: Obj) -> Decision:
        """Ask, and keep the answer."""
        try:
            status = await self._ask(review)
        except (ApiError, Unreachable, TimeoutError, ValueError) as error:
            _log.error(
                "the authorization webhook failed", name=self._settings.name, error=str(error) or repr(error)
            )
            return self._on_failure()
        decision = _decision(status)
        if len(key) <= KEY_LIMIT:
            ttl = self._settings.authorized_ttl if decision.allowed else self._settings.unauthorized_ttl
            self._answers[key] = (self._clock() + ttl, decision)
            self._answers.move_to_end(key)
            if len(self._answers) > CACHED_ANSWERS:
                self._answers.popitem(last=False)
        return decision

    async def _ask(self, review: Obj) -> Obj:
        if not self._opened:
            self._opened = True
            await self._client.__aenter__()
        body = {
            "apiVersion": f"authorization.k8s.io/{self._settings.version}",
            "kind": "SubjectAccessReview",
            "metadata": {"creationTimestamp": None},
            "spec": review if self._settings.version == "v1" else _as_v1beta1(review),
        }
        pause = FIRST_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with asyncio.timeout(self._settings.timeout):
                    answer = await self._client.request("POST", "", body=body)
                break
            except (ApiError, Unreachable, TimeoutError) as error:
                refused = isinstance(error, ApiError) and error.code < 500 and error.code != 429
                if refused or attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(pause)
                pause *= 1.5
        status = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(status, dict):
            raise ValueError("the answer is no SubjectAccessReview")
        return status

    async def close(self) -> None:
        """Let go of connections."""
        if self._opened:
            await self._client.__aexit__(None, None, None)


def spec_of(attributes: Attributes) -> Obj:
    """The spec of the SubjectAccessReview (v1) that asks about a request."""
    user = attributes.user
    spec: Obj = {}
    if attributes.resource:
        named = {
            "namespace": attributes.namespace,
            "verb": attributes.verb,
            "group": attributes.group,
            "version": attributes.version,
            "resource": attributes.resource,
            "subresource": attributes.subresource,
            "name": attributes.name,
        }
        selectors = attributes.restrictions().as_api()
        spec["resourceAttributes"] = {**{k: v for k, v in named.items() if v}, **selectors}
    else:
        spec["nonResourceAttributes"] = {"path": attributes.path, "verb": attributes.verb}
    spec["user"] = user.name
    if user.groups:
        spec["groups"] = list(user.groups)
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra.items()}
    if user.uid:
        spec["uid"] = user.uid
    return spec


def _as_v1beta1(review: Obj) -> Obj:
    """The same in the old version, which has another name for the groups."""
    return {("group" if key == "groups" else key): value for key, value in review.items()}


def _decision(status: Obj) -> Decision:
    reason = status.get("reason") or ""
    if status.get("denied"):
        return Decision(denied=True, reason=reason)
    return Decision(allowed=bool(status.get("allowed")), reason=reason)
