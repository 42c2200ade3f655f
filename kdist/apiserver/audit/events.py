"""The published Event, built from what is known of a request at a stage. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import orjson

from kdist.api.meta import Obj

TRUNCATED = "audit.k8s.io/truncated"
_OBJECTS = ("requestObject", "responseObject")
LIST_HEAD = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":['


@dataclass(frozen=True, slots=True)
class Event:
    """One event and its JSON."""

    data: Obj
    encoded: bytes

    @classmethod
    def of(cls, data: Obj) -> Event:
        """Serialize an event; its objects may be bytes of JSON in an :class:`orjson.Fragment`."""
        return cls(data, orjson.dumps(data))

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.encoded)

    def truncated(self) -> Event:
        """The event without the objects, and with the annotation that says so."""
        data = {key: value for key, value in self.data.items() if key not in _OBJECTS}
        data["annotations"] = {**(data.get("annotations") or {}), TRUNCATED: "true"}
        return Event.of(data)

    def legacy(self) -> bytes:
        """The one-line text format."""
        data = self.data
        user, other = data.get("user") or {}, data.get("impersonatedUser") or {}
        pairs = {
            "id": data["auditID"],
            "stage": data["stage"],
            "ip": (data.get("sourceIPs") or ["<unknown>"])[0],
            "method": data["verb"],
            "user": user.get("username") or "<none>",
            "groups": _joined(user.get("groups")) or "<none>",
            "as": other.get("username") or "<self>",
            "asgroups": _joined(other.get("groups")) or "<lookup>",
            "user-agent": data.get("userAgent", ""),
            "namespace": (data.get("objectRef") or {}).get("namespace") or "<none>",
            "uri": data["requestURI"],
        }
        told = " ".join(f"{key}={json.dumps(value)}" for key, value in pairs.items())
        code = (data.get("responseStatus") or {}).get("code", "<deferred>")
        return f'{data["requestReceivedTimestamp"]} AUDIT: {told} response="{code}"'.encode()


def _joined(values: list[str] | None) -> str:
    return ",".join(f'"{value}"' for value in values or ())


def fitted(events: list[Event], most: int, batch: int) -> tuple[list[list[Event]], int]:
    """Batches of at most ``batch`` bytes of events of at most ``most``, and how many events do not fit at all."""
    batches: list[list[Event]] = []
    size = dropped = 0
    for event in events:
        if event.size > most:
            event = event.truncated()
        if event.size > most:
            dropped += 1
            continue
        if not batches or size + event.size > batch:
            batches.append([])
            size = 0
        batches[-1].append(event)
        size += event.size
    return batches, dropped


def event_list(events: list[Event]) -> bytes:
    """The body of a webhook call."""
    return LIST_HEAD + b",".join(event.encoded for event in events) + b"]}"


def without_managed_fields(body: bytes) -> bytes:
    """An object's or a list's JSON without metadata.managedFields."""
    if b'"managedFields"' not in body:
        return body
    document: Any = orjson.loads(body)
    for obj in _objects(document):
        if isinstance(obj, dict) and isinstance(obj.get("metadata"), dict):
            obj["metadata"].pop("managedFields", None)
    return orjson.dumps(document)


def _objects(document: Any) -> list[Any]:
    if not isinstance(document, dict):
        return []
    rows = [row.get("object") for row in document.get("rows") or () if isinstance(row, dict)]
    return [document, *(document.get("items") or ()), *rows]
