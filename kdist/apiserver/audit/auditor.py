"""Follows requests through their stages and hands events to where they go.

The application calls ``received`` when the user is known, ``started`` when the answer begins and ``ended`` when it is
out. Between them handlers leave what belongs into the event on the :class:`Record`.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from kdist.api.errors import InternalError
from kdist.apiserver.audit.batching import Backend
from kdist.apiserver.audit.contents import event_of
from kdist.apiserver.audit.events import Event
from kdist.apiserver.audit.policy import (
    COMPLETE,
    LEVELS,
    METADATA,
    PANIC,
    RECEIVED,
    STARTED,
    Policy,
)
from kdist.apiserver.audit.record import Record
from kdist.apiserver.authn.user import User
from kdist.apiserver.request import Message, Request
from kdist.telemetry.series import Values

SLOW_SECONDS = 0.5
_LEVEL_COUNTS = Values("apiserver_audit_level_total", "Requests by audit level.", ("level",), alpha=True)
_EVENT_COUNT = Values("apiserver_audit_event_total", "Audit events made.", alpha=True)
_REJECTED = Values(
    "apiserver_audit_requests_rejected_total",
    "Requests refused because their audit event could not be kept.",
    alpha=True,
)


class Auditor:
    """One per server."""

    def __init__(self, policy: Policy, backends: list[Backend]) -> None:
        self._policy, self._backends = policy, backends

    async def run(self) -> None:
        """Let backends work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for backend in self._backends:
                tasks.create_task(backend.run(), name="audit")
            await asyncio.Event().wait()  # most backends have nothing to do: to return would stop the server

    async def close(self) -> None:
        """Deliver what is buffered."""
        for backend in self._backends:
            await backend.close()

    # ----- stages

    async def received(self, request: Request, user: User | None) -> None:
        """The user is known, or known not to be. InternalError when the event must be kept and cannot be."""
        extent = self._policy.extent(user, request.info)
        _LEVEL_COUNTS.at(LEVELS[extent.level]).value += 1
        if extent.level < METADATA:
            return
        request.audit = Record(extent, user)
        if not await self._tell(request, RECEIVED, None):
            _REJECTED.at().value += 1
            raise InternalError("failed to store audit event")

    async def unauthenticated(self, request: Request) -> None:
        """Nobody knows who asks: there will be an answer, and one event about it."""
        extent = self._policy.extent(None, request.info)
        _LEVEL_COUNTS.at(LEVELS[extent.level]).value += 1
        if extent.level < METADATA:
            return
        request.audit = record = Record(extent, None)
        tried = ", ".join(_credentials(request)) or "no credentials"
        record.status = {"message": f"Authentication failed, attempted: {tried}"}

    async def follow(self, request: Request, message: Message) -> None:
        """A part of the answer goes out."""
        record = request.audit
        assert record is not None
        if message["type"] == "http.response.start":
            streams = request.info.is_long_running
            record.keep(message["status"], message["headers"], streams=streams)
            if streams or record.user is None:
                await self._tell(request, STARTED, message["status"])
        elif record.answer is not None:
            record.answer.append(message.get("body", b""))

    async def ended(self, request: Request, code: int, *, panicked: bool) -> None:
        """The answer is out, or a defect kept it from being."""
        record = request.audit
        assert record is not None
        if record.user is None:
            return
        took = (_now() - record.received_at).total_seconds()
        if took > SLOW_SECONDS and not request.info.is_long_running:
            record.annotations["apiserver.latency.k8s.io/total"] = f"{took * 1000:.6f}ms"
        await self._tell(request, PANIC if panicked else COMPLETE, code)

    async def _tell(self, request: Request, stage: str, code: int | None) -> bool:
        record = request.audit
        assert record is not None
        if stage in record.extent.omitted:
            return True
        event = Event.of(event_of(request, record, stage, code))
        _EVENT_COUNT.at().value += 1
        kept = True
        for backend in self._backends:
            kept = await backend.process([event]) and kept
        return kept


def _credentials(request: Request) -> list[str]:
    kind, _, rest = request.header(b"authorization").strip().partition(" ")
    found = [kind.lower()] if rest and kind.lower() in ("basic", "bearer") else []
    if request.param("access_token"):
        found.append("access_token")
    return found


def _now() -> datetime:
    return datetime.now(UTC)
