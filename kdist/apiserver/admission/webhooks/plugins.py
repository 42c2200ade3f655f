"""The two links of the admission chain that ask webhooks."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any, ClassVar

import orjson

from kdist.api import meta
from kdist.api.errors import ApiError, InternalError
from kdist.api.kinds import NAMESPACES, Kind
from kdist.api.patch import json as json_patch
from kdist.api.scheme import Scheme
from kdist.apiserver.admission import versions
from kdist.apiserver.admission.base import ALL, Operation, Plugin, Request
from kdist.apiserver.admission.expressions import subject
from kdist.apiserver.admission.expressions.conditions import INLINE_COST, ConditionError, asks_authorizer
from kdist.apiserver.admission.webhooks import matching, review
from kdist.apiserver.admission.webhooks.client import CallError, WebhookClient
from kdist.apiserver.admission.webhooks.configuration import MUTATING, VALIDATING, Hook, Hooks
from kdist.apiserver.admission.webhooks.observing import Observed
from kdist.apiserver.admission.webhooks.review import Answer, InvalidResponse
from kdist.apiserver.authz.authorizer import Authorizer
from kdist.apiserver.cel import Postponed
from kdist.apiserver.ports import Obj, Reader, Writer
from kdist.telemetry import log

_log = log.get(__name__)


class _Webhooks(Plugin):
    """What both have in common: finding the hooks of a request and asking one."""

    operations: ClassVar[frozenset[Operation]] = ALL
    configuration: ClassVar[Kind]
    may_patch: ClassVar[bool] = False
    #: The step as metrics name it.
    step: ClassVar[str] = "validating"

    def __init__(
        self, reader: Reader, writer: Writer, scheme: Scheme, client: WebhookClient, authorizer: Authorizer
    ) -> None:
        self._reader, self._writer, self._scheme, self._client = reader, writer, scheme, client
        self._authorizer = authorizer
        self._equivalents = versions.Equivalents(scheme)
        self._hooks = Hooks(reader, self.configuration)

    async def _selected(self, request: Request) -> list[tuple[Hook, Kind]]:
        """The hooks to ask, each with the coordinates it knows the resource by."""
        if not self._hooks or matching.is_exempt(request):
            return []
        equivalents = self._equivalents.of(request.resource)
        found = []
        for hook in self._hooks:
            kind = matching.matched_kind(hook, request, equivalents)
            if kind is None or not matching.labels_match(hook, request):
                continue
            if hook.namespaces.everything or await self._namespace_matches(hook, request):
                found.append((hook, kind))
        return found

    async def _namespace_matches(self, hook: Hook, request: Request) -> bool:
        is_namespace = request.resource == NAMESPACES
        if is_namespace and not request.subresource and request.obj is not None:
            return hook.namespaces.matches(meta.labels(request.obj))
        name = request.name if is_namespace else request.namespace
        if not name:
            return True
        found = self._reader.get(NAMESPACES, None, name)
        if found is None:  # the cache may lag behind the namespace's creation
            found = await self._writer.get(NAMESPACES, None, name)
        return hook.namespaces.matches(meta.labels(found))

    async def _wanted(self, hook: Hook, kind: Kind, request: Request) -> bool:
        """Whether the hook's match conditions hold. Forbidden when they fail and the hook must not be skipped."""
        if not hook.conditions.conditions:
            return True
        obj, old = (self._converted(o, kind, request) for o in (request.obj, request.sent_old))
        values = subject.bindings(request, kind, obj, old, authorizer=self._authorizer)
        try:
            return await self._hold(hook, values)
        except ConditionError as error:
            if hook.ignore_failure:
                return False
            raise request.forbidden(str(error)) from error

    async def _hold(self, hook: Hook, values: dict[str, Any]) -> bool:
        """Whether the conditions hold; what takes long does so in a thread, while other requests go on."""
        if asks_authorizer(*hook.conditions.conditions):
            return await self._authorizer.settle(hook.conditions.hold, values)
        try:
            return hook.conditions.hold(values, inline=INLINE_COST)
        except Postponed:
            return await asyncio.to_thread(hook.conditions.hold, values)

    async def _ask(self, hook: Hook, kind: Kind, request: Request, at: int = 0) -> Answer | None:
        """The answer of a hook that allows; None when it cannot be had and may be ignored, or does not want to be
        asked. ApiError.
        """
        if not await self._wanted(hook, kind, request):
            return None
        if request.dry_run and hook.side_effects:
            raise review.dry_run_unsupported(hook.name)
        uid = str(uuid.uuid4())
        observed = Observed(hook, request, self.step, at)
        obj, old = (self._converted(o, kind, request) for o in (request.obj, request.sent_old))
        try:
            body = await self._client.call(hook, review.question(request, kind, uid, obj, old))
            answer = review.answer(body, uid, may_patch=self.may_patch)
        except (CallError, InvalidResponse) as error:
            why = str(error)
            if isinstance(error, InvalidResponse):
                why = f"received invalid webhook response: {why}"
            observed.failed()
            if not hook.ignore_failure:
                raise review.failure(hook.name, why) from error
            _log.warning("webhook failed, ignored", webhook=hook.name, error=why)
            return None
        for warning in answer.warnings:
            request.warn(warning)
        if not answer.allowed:
            refusal = review.refusal(hook.name, answer.result)
            observed.refused(answer, refusal)
            raise refusal
        observed.allowed(answer)
        return answer

    def _converted(self, obj: Obj | None, kind: Kind, request: Request) -> Obj | None:
        return versions.converted(self._scheme, obj, kind, request)


class MutatingWebhooks(_Webhooks):
    """One after the other, each on what the one before made of the object."""

    configuration = MUTATING
    may_patch = True
    step = "admit"

    async def admit(self, request: Request) -> None:
        """Let the hooks change the object; the whole chain runs once more after a change."""
        rounds = request.rounds
        if rounds.second and orjson.dumps(request.obj) != rounds.output:
            rounds.due |= rounds.earlier
        for at, (hook, kind) in enumerate(await self._selected(request)):
            if rounds.second and hook.identity not in rounds.due:
                continue
            answer = await self._ask(hook, kind, request, at)
            if answer is not None:
                changed = self._apply(hook, kind, request, answer)
                Observed(hook, request, self.step, at).mutated(answer, changed=changed)
                if changed:
                    rounds.due |= rounds.earlier
                    rounds.again = True
            if hook.reinvoke:
                rounds.earlier.add(hook.identity)
        if not rounds.second and rounds.earlier:
            rounds.output = orjson.dumps(request.obj)

    def _apply(self, hook: Hook, kind: Kind, request: Request, answer: Answer) -> bool:
        """Whether the hook's patch changed the object. InternalError when it does not apply."""
        if not answer.patch or request.obj is None:
            return False
        before = self._converted(request.obj, kind, request)
        try:
            after = json_patch.apply(before, answer.patch)
        except ApiError as error:
            raise InternalError(f"Internal error occurred: {error.message}") from error
        if after == before:
            return False
        if not isinstance(after, dict):
            raise InternalError(f'Internal error occurred: webhook "{hook.name}" made no object')
        if kind != request.resource:
            after = versions.in_version(self._scheme, after, request.resource)
        request.default(after)
        request.obj = after
        return True


class ValidatingWebhooks(_Webhooks):
    """All at the same time; the first refusal in their order is the answer."""

    configuration = VALIDATING

    async def validate(self, request: Request) -> None:
        """Raise the refusal."""
        selected = await self._selected(request)
        if not selected:
            return
        asked: Sequence[Answer | BaseException | None] = await asyncio.gather(
            *(self._ask(hook, kind, request, at) for at, (hook, kind) in enumerate(selected)),
            return_exceptions=True,
        )
        for answer in asked:
            if isinstance(answer, BaseException):
                raise answer
