"""Recording Events without ever waiting: what happened to which object, counted instead of repeated.

The recorder follows upstream's three steps: a budget per object (25 at once, then one in five minutes),
aggregation of more than ten similar events in ten minutes into one, and counting of equal ones by a patch.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kdist.api import meta
from kdist.api.errors import ApiError, NotFound
from kdist.api.kinds import EVENTS
from kdist.api.meta import Obj
from kdist.client.rest import Client, Unreachable
from kdist.telemetry import log as telemetry_log

log = telemetry_log.get(__name__)

BURST, REFILL_PER_SECOND = 25, 1 / 300
SIMILAR, SIMILAR_SECONDS = 10, 600.0
REMEMBERED = 1024
WAITING = 1000
TRIES, RETRY_SECONDS = 3, 5.0


def reference(obj: Obj, field_path: str = "") -> Obj:
    """The ObjectReference of an object; a dict without metadata is taken for a reference already."""
    if "metadata" not in obj:
        return {**obj, "fieldPath": field_path} if field_path else dict(obj)
    ref = {
        "kind": obj.get("kind", ""),
        "namespace": meta.namespace(obj),
        "name": meta.name(obj),
        "uid": meta.uid(obj),
        "apiVersion": obj.get("apiVersion", ""),
        "resourceVersion": meta.resource_version(obj),
        "fieldPath": field_path,
    }
    return {k: v for k, v in ref.items() if v}


@dataclass(slots=True)
class _Budget:
    """Of one object: tokens left when they were last counted."""

    tokens: float
    counted: float


@dataclass(slots=True)
class _Similar:
    """Events that differ in their message only."""

    messages: set[str] = field(default_factory=set)
    last: float = 0.0


class Correlator:
    """Decides what becomes of an event: dropped, written as it is, or counted on one written before."""

    def __init__(self) -> None:
        self._budgets: OrderedDict[tuple[str, ...], _Budget] = OrderedDict()
        self._similar: OrderedDict[tuple[str, ...], _Similar] = OrderedDict()
        self._written: OrderedDict[tuple[str, ...], Obj] = OrderedDict()

    def correlate(self, event: Obj, now: float) -> Obj | None:
        """The event to write: new, or an earlier one with its count raised. None: over the budget."""
        if not self._has_budget(event, now):
            return None
        event, identity = self._aggregate(event, now)
        earlier = self._written.get(identity)
        if earlier is not None:
            event = {
                **earlier,
                "count": earlier["count"] + 1,
                "lastTimestamp": event["lastTimestamp"],
                "message": event["message"],
            }
        self._written[identity] = event
        _trim(self._written)
        return event

    def forget(self, event: Obj) -> None:
        """The event is not on the server (any more): the next equal one is new."""
        for identity in [i for i, e in self._written.items() if meta.name(e) == meta.name(event)]:
            del self._written[identity]

    def _has_budget(self, event: Obj, now: float) -> bool:
        key = _about(event)
        budget = self._budgets.setdefault(key, _Budget(BURST, now))
        self._budgets.move_to_end(key)
        _trim(self._budgets)
        budget.tokens = min(BURST, budget.tokens + (now - budget.counted) * REFILL_PER_SECOND)
        budget.counted = now
        if budget.tokens < 1:
            return False
        budget.tokens -= 1
        return True

    def _aggregate(self, event: Obj, now: float) -> tuple[Obj, tuple[str, ...]]:
        group = (*_about(event), event["type"], event["reason"])
        similar = self._similar.setdefault(group, _Similar())
        self._similar.move_to_end(group)
        _trim(self._similar)
        if now - similar.last > SIMILAR_SECONDS:
            similar.messages.clear()
        similar.last = now
        similar.messages.add(event["message"])
        if len(similar.messages) < SIMILAR:
            return event, (*group, event["message"])
        similar.messages.pop()
        return {**event, "message": f"(combined from similar events): {event['message']}"}, group


def _about(event: Obj) -> tuple[str, ...]:
    ref = event["involvedObject"]
    fields = ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")
    return (event["source"]["component"], *(ref.get(f, "") for f in fields))


def _trim(known: OrderedDict[tuple[str, ...], Any]) -> None:
    while len(known) > REMEMBERED:
        known.popitem(last=False)


class EventRecorder:
    """Records events of one component; :meth:`run` writes them and belongs into a task."""

    def __init__(self, client: Client, component: str, host: str = "") -> None:
        self._client, self._component, self._host = client, component, host
        self._queue: asyncio.Queue[Obj] = asyncio.Queue(WAITING)
        self._correlator = Correlator()

    def event(self, obj: Obj, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Note an event (type Normal or Warning) about an object; dropped when too many wait."""
        about, now = reference(obj, field_path), datetime.now(UTC)
        stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        event = {
            "metadata": {
                "name": f"{about.get('name', '')}.{time.time_ns():x}",
                "namespace": about.get("namespace") or "default",
            },
            "involvedObject": about,
            "type": type,
            "reason": reason,
            "message": message[:1024],
            "source": {"component": self._component, **({"host": self._host} if self._host else {})},
            "reportingComponent": self._component,
            "reportingInstance": self._host,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            log.warning("event dropped, too many wait", reason=reason, object=about.get("name"))

    async def run(self) -> None:
        """Write what was recorded, until cancelled."""
        while True:
            noted = await self._queue.get()
            event = self._correlator.correlate(noted, time.monotonic())
            if event is not None:
                await self._write(event)

    async def _write(self, event: Obj) -> None:
        for _ in range(TRIES):
            try:
                return await self._put(event)
            except ApiError as error:
                # Refused (the namespace is going away, no rights): trying again would not help.
                self._correlator.forget(event)
                return log.debug("event refused", reason=event["reason"], error=error)
            except Unreachable as error:
                log.debug("event not written yet", reason=event["reason"], error=error)
                await asyncio.sleep(RETRY_SECONDS)
        self._correlator.forget(event)
        return None

    async def _put(self, event: Obj) -> None:
        if event["count"] > 1:
            counted = {k: event[k] for k in ("count", "lastTimestamp", "message")}
            try:
                await self._client.patch(EVENTS, meta.name(event), counted, meta.namespace(event))
                return
            except NotFound:
                pass  # its time to live ended: write it anew, with the count
        await self._client.create(EVENTS, event)
