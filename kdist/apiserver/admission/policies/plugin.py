"""The link of the admission chain that applies ValidatingAdmissionPolicies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from kdist.api import errors
from kdist.api.errors import ApiError, Cause
from kdist.api.kinds import Kind
from kdist.api.scheme import Scheme
from kdist.apiserver import metrics
from kdist.apiserver.admission.base import Request
from kdist.apiserver.admission.expressions.conditions import INLINE_COST
from kdist.apiserver.admission.policies import compilation, evaluation, params
from kdist.apiserver.admission.policies.bound import BoundPolicies
from kdist.apiserver.admission.policies.compilation import Binding, Policy
from kdist.apiserver.admission.policies.configured import BINDINGS, POLICIES, Configured
from kdist.apiserver.admission.policies.evaluation import Verdict
from kdist.apiserver.admission.policies.params import ConfigurationError, Lookup
from kdist.apiserver.admission.webhooks.matching import is_exempt
from kdist.apiserver.authz.authorizer import Authorizer
from kdist.apiserver.cel import Postponed
from kdist.apiserver.ports import Reader, Writer

ANNOTATION_LIMIT = 10 * 1024
_FAILURE_KEY = "validation.policy.admission.k8s.io/validation_failure"
_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413}


@dataclass(slots=True)
class _Denial:
    """Why a request is refused."""

    policy: str
    binding: str
    message: str
    reason: str = ""

    def told(self) -> str:
        bound = f" with binding '{self.binding}'" if self.binding else ""
        return f"ValidatingAdmissionPolicy '{self.policy}'{bound} denied request: {self.message}"


@dataclass(slots=True)
class _Review:
    """One request before all policies."""

    request: Request
    denials: list[_Denial] = field(default_factory=list)
    values: dict[Kind, dict[str, Any]] = field(default_factory=dict)


class ValidatingPolicies(BoundPolicies[Policy]):
    """Evaluates the policies that are bound; the first refusal in their order is the answer."""

    def __init__(
        self, reader: Reader, writer: Writer, scheme: Scheme, authorizer: Authorizer, lookup: Lookup
    ) -> None:
        super().__init__(reader, writer, scheme, authorizer, lookup)
        self._configured = Configured(reader, POLICIES, BINDINGS, compilation.policy)

    async def validate(self, request: Request) -> None:
        """Raise the refusal; warn and annotate where a binding asks for that."""
        if not self._configured or is_exempt(request):
            return
        review = _Review(request)
        for policy in self._configured.policies_for(request):
            kind = await self._matched_kind(policy, request)
            if kind is not None:
                await self._apply(policy, kind, review)
        if review.denials:
            raise _refusal(request, review.denials[0])

    async def _apply(self, policy: Policy, kind: Kind, review: _Review) -> None:
        try:
            param_kind = self._param_kind(policy)
        except ConfigurationError as error:
            _misconfigured(policy, None, f"failed to configure policy: {error}", review)
            return
        annotations: dict[str, list[str]] = {}
        for binding in self._configured.bindings_of(policy.name):
            if await self._matched_kind(binding, review.request) is None:
                continue
            try:
                found = await params.collect(
                    self._lookup, param_kind, binding.param_ref, review.request.namespace
                )
            except ConfigurationError as error:
                _misconfigured(policy, binding, f"failed to configure binding: {error}", review)
                continue
            begun = time.monotonic()
            for verdict in await self._verdicts(policy, kind, found, review):
                now = time.monotonic()
                _count(policy, binding, verdict, now - begun)
                begun = now
                _report(policy, binding, verdict, review)
                for key, value in verdict.annotations:
                    values = annotations.setdefault(key, [])
                    if value[:ANNOTATION_LIMIT] not in values:
                        values.append(value[:ANNOTATION_LIMIT])
        for key, values in annotations.items():
            review.request.annotate(f"{policy.name}/{key}", ", ".join(values))

    async def _verdicts(
        self, policy: Policy, kind: Kind, found: Sequence[Any], review: _Review
    ) -> list[Verdict]:
        if not found:
            return []
        values = review.values.get(kind)
        if values is None:
            values = review.values[kind] = await self._values(kind, review.request)
        return [await self._judge(policy, values, param) for param in found]

    async def _judge(self, policy: Policy, values: dict[str, Any], param: Any) -> Verdict:
        """The verdict; what takes long does so in a thread, while other requests go on."""
        if policy.asks_authorizer:
            return await self._authorizer.settle(evaluation.judge, policy, values, param)
        try:
            return evaluation.judge(policy, values, param, INLINE_COST)
        except Postponed:
            return await asyncio.to_thread(evaluation.judge, policy, values, param)


def _misconfigured(policy: Policy, binding: Binding | None, message: str, review: _Review) -> None:
    if not policy.ignore_failure:
        review.denials.append(_Denial(policy.name, binding.name if binding else "", message))


def _report(policy: Policy, binding: Binding, verdict: Verdict, review: _Review) -> None:
    """Do with the failures what the binding says."""
    for failure in verdict.failures:
        for action in binding.actions:
            if action == "Deny":
                review.denials.append(_Denial(policy.name, binding.name, failure.message, failure.reason))
            elif action == "Warn":
                review.request.warn(
                    f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding "
                    f"'{binding.name}': {failure.message}"
                )
            else:
                told = {
                    "message": failure.message,
                    "policy": policy.name,
                    "binding": binding.name,
                    "expressionIndex": failure.index,
                    "validationActions": list(binding.actions),
                }
                review.request.annotate(_FAILURE_KEY, orjson.dumps([told]).decode())
    review.denials += [_Denial(policy.name, binding.name, message) for message in verdict.refusals]


def _count(policy: Policy, binding: Binding, verdict: Verdict, seconds: float) -> None:
    """As upstream: one check for every failure and action, or one that allowed."""
    actions = [action.lower() for _ in verdict.failures for action in binding.actions]
    actions += ["deny"] * len(verdict.refusals)
    error = "invalid_error" if verdict.refusals else "no_error"
    for action in actions or ["allow"]:
        labels = (policy.name, binding.name, error, action)
        metrics.POLICY_CHECKS.at(*labels).value += 1
        metrics.POLICY_SECONDS.at(*labels).observe(seconds)


def _refusal(request: Request, denial: _Denial) -> ApiError:
    """The answer: worded as one of what is forbidden, with the reason that the rule gives."""
    message, reason = denial.told(), denial.reason or "Invalid"
    forbidden = request.forbidden(message)
    error = errors.from_status(
        {"reason": reason, "message": forbidden.message, "details": forbidden.details},
        _CODES.get(reason, 422),
    )
    error.causes = (Cause("", message, ""),)
    return error
