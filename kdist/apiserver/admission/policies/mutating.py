"""The link of the admission chain that applies MutatingAdmissionPolicies, before webhooks that mutate.

Policies change the object one after the other, by name. When something changed after a policy whose
reinvocationPolicy is IfNeeded, it is applied once more in the second round of the chain.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import orjson

from kdist.api import errors, meta
from kdist.api.errors import ApiError, Cause
from kdist.api.kinds import Kind
from kdist.api.schema import ANY
from kdist.api.scheme import Scheme
from kdist.apiserver.admission import versions
from kdist.apiserver.admission.base import Request
from kdist.apiserver.admission.expressions.conditions import INLINE_COST, ConditionError
from kdist.apiserver.admission.policies import mutations, params
from kdist.apiserver.admission.policies.bound import BoundPolicies
from kdist.apiserver.admission.policies.compilation import Binding
from kdist.apiserver.admission.policies.configured import MUTATING_BINDINGS, MUTATING_POLICIES, Configured
from kdist.apiserver.admission.policies.mutations import MutatingPolicy, Mutation, MutationError
from kdist.apiserver.admission.policies.params import ConfigurationError, Lookup
from kdist.apiserver.admission.webhooks.matching import is_exempt
from kdist.apiserver.authz.authorizer import Authorizer
from kdist.apiserver.cel import Postponed
from kdist.apiserver.ports import Reader, Writer

_FORBIDDEN = 403


@dataclass(slots=True)
class _Review:
    """One request before all policies: what went wrong, as it is told."""

    request: Request
    denials: list[tuple[str, str]] = field(default_factory=list)

    def deny(self, policy: MutatingPolicy, binding: Binding | None, message: str, reason: str = "") -> None:
        """A policy cannot be applied; whether that matters is its failure policy's to say."""
        if policy.ignore_failure:
            return
        bound = f"'{policy.name}' with binding '{binding.name}'" if binding else f'"{policy.name}"'
        self.denials.append((f"policy {bound} denied request: {message}", reason))


class MutatingPolicies(BoundPolicies[MutatingPolicy]):
    """Applies the policies that are bound; the first failure in their order is the answer."""

    def __init__(
        self, reader: Reader, writer: Writer, scheme: Scheme, authorizer: Authorizer, lookup: Lookup
    ) -> None:
        super().__init__(reader, writer, scheme, authorizer, lookup)
        self._configured = Configured(reader, MUTATING_POLICIES, MUTATING_BINDINGS, mutations.policy)

    async def admit(self, request: Request) -> None:
        """Let the policies change the object; the whole chain runs once more after a change."""
        if not self._configured or is_exempt(request) or request.obj is None:
            return
        review, rounds = _Review(request), request.rounds
        if rounds.second and orjson.dumps(request.obj) != rounds.policy_output:
            rounds.policies_due |= rounds.policies
        changed = False
        for policy in self._configured.policies_for(request):
            kind = await self._matched_kind(policy, request)
            if kind is not None:
                changed |= await self._apply(policy, kind, review)
        if changed:
            rounds.policies_due |= rounds.policies
            rounds.again = True
        if rounds.policies:
            rounds.policy_output = orjson.dumps(request.obj)
        if review.denials:
            raise _refusal(request, review.denials)

    async def _apply(self, policy: MutatingPolicy, kind: Kind, review: _Review) -> bool:
        """Whether one policy changed the object, by any of its bindings."""
        request, changed = review.request, False
        try:
            param_kind = self._param_kind(policy)
        except ConfigurationError as error:
            review.deny(policy, None, f"failed to configure policy: {error}")
            return False
        for binding in self._configured.bindings_of(policy.name):
            if await self._matched_kind(binding, request) is None:
                continue
            try:
                found = await params.collect(self._lookup, param_kind, binding.param_ref, request.namespace)
            except ConfigurationError as error:
                review.deny(policy, binding, f"failed to configure binding: {error}")
                continue
            for param in found:
                changed |= await self._invoke(policy, binding, kind, param, review)
        return changed

    async def _invoke(
        self, policy: MutatingPolicy, binding: Binding, kind: Kind, param: Any, review: _Review
    ) -> bool:
        """Whether a policy with one parameter changed the object."""
        request, rounds = review.request, review.request.rounds
        try:
            if not await self._concerned(policy, kind, param, request):
                return False
        except ConditionError as error:
            review.deny(policy, binding, str(error), "Invalid")
            return False
        owner = f"{meta.namespace(param)}/{meta.name(param)}" if param is not None else ""
        identity = f"{policy.name}/{binding.name}/{owner}"
        if rounds.second and identity not in rounds.policies_due:
            return False
        before = request.obj
        for mutation in policy.mutations:
            try:
                await self._mutate(policy, mutation, kind, param, request)
            except MutationError as error:
                review.deny(policy, binding, str(error), "Invalid")
        changed = request.obj != before
        if changed:
            rounds.policies_due |= rounds.policies
        if policy.reinvoke:
            rounds.policies.add(identity)
        return changed

    async def _concerned(self, policy: MutatingPolicy, kind: Kind, param: Any, request: Request) -> bool:
        if not policy.conditions.conditions:
            return True
        values = {**await self._values(kind, request), "params": param, "namespaceObject": None}
        if policy.asks_authorizer:
            return await self._authorizer.settle(policy.conditions.hold, values)
        try:
            return policy.conditions.hold(values, inline=INLINE_COST)
        except Postponed:
            return await asyncio.to_thread(policy.conditions.hold, values)

    async def _mutate(
        self, policy: MutatingPolicy, mutation: Mutation, kind: Kind, param: Any, request: Request
    ) -> None:
        values = await self._values(kind, request)
        api_version = f"{kind.group}/{kind.version}" if kind.group else kind.version
        schema = self._scheme.schema(api_version, kind.kind) or ANY
        args = (mutation, policy.variables, values, param, schema)
        if policy.asks_authorizer:
            after = await self._authorizer.settle(mutations.patch, *args)
        else:
            try:
                after = mutations.patch(*args, INLINE_COST)
            except Postponed:
                after = await asyncio.to_thread(mutations.patch, *args)
        if after is values["object"]:
            return
        if kind != request.resource:
            after = versions.in_version(self._scheme, after, request.resource)
        request.default(after)
        request.obj = after


def _refusal(request: Request, denials: list[tuple[str, str]]) -> ApiError:
    """The answer: worded by the first failure; the others are its causes."""
    message, reason = denials[0]
    forbidden = request.forbidden(message)
    status = {"reason": reason or "Forbidden", "message": message, "details": forbidden.details}
    error = errors.from_status(status, _FORBIDDEN)
    error.__dict__.update(code=_FORBIDDEN)  # whatever the reason, as upstream
    error.causes = tuple(Cause("", told, "") for told, _ in denials)
    return error
