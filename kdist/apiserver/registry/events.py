"""Events of core/v1 and events.k8s.io/v1, which are one kind with two shapes: judged in the core shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.conversion import event_to_core
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import needed, ruled
from kdist.apiserver.validation.metadata import validate_metadata, validate_metadata_update

_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_LIMITS = {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}
_FOR_LIFE = (
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
)
_ANY_NAMESPACE = ("default", "kube-system")


class EventStrategy(Strategy):
    """Events: selectable by what they are about, not collected with it."""

    allow_create_on_update = True
    checks_required = False
    collected = False
    error_group: ClassVar[str | None] = ""

    def fields(self, obj: Obj) -> dict[str, str]:
        """The object, the reason, the source; of the core version, in which every event is stored."""
        about = obj.get("involvedObject") or {}
        reporter = obj.get("reportingComponent") or ""
        return {
            **super().fields(obj),
            **{f"involvedObject.{key}": about.get(key, "") for key in _REFERENCE},
            "reason": obj.get("reason", ""),
            "reportingComponent": reporter,
            "source": meta.get(obj, "source.component") or reporter,
            "type": obj.get("type", ""),
        }

    def field_label(self, label: str) -> str | None:
        """events.k8s.io has names of its own, and none for the source."""
        if self.resource.group == "":
            return super().field_label(label)
        if label in ("source", "reportingComponent") or label.startswith("involvedObject."):
            return None
        if label == "reportingController":
            return "reportingComponent"
        return super().field_label(label.replace("regarding.", "involvedObject.", 1))

    def _core(self, obj: Obj) -> Obj:
        return obj if self.resource.group == "" else event_to_core(obj)

    def validate(self, obj: Obj) -> list[Cause]:
        """The newer version is strict; of the older one the metadata is looked at when all else is well."""
        found = list(self._always(self._core(obj)))
        if self.resource.group == "":
            return found or self._metadata(obj, names.path_segment, known=False)
        return [*found, *self._metadata(obj, names.dns_subdomain, known=True), *_strict(self._core(obj))]

    def _metadata(self, obj: Obj, rule: names.Rule, *, known: bool) -> list[Cause]:
        metadata = obj.get("metadata") or {}
        return validate_metadata(metadata, namespaced=True, name_rule=rule, known_finalizers=known)

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """In the newer version an event is written once, but for its series."""
        now, had = self._core(new), self._core(old)
        found = list(self._always(now))
        if self.resource.group == "":
            return found or validate_metadata_update(new.get("metadata") or {}, old.get("metadata") or {})
        if now.get("series") != had.get("series"):
            found += _series(now)
        return [*found, *super().validate_update(new, old), *_changed(now, had)]

    def _always(self, event: Obj) -> Iterator[Cause]:
        space, about = meta.namespace(event), meta.get(event, "involvedObject.namespace", "")
        timed = event.get("eventTime") is not None
        wrong = about != space if about and not timed else False
        if not about:
            wrong = space not in (_ANY_NAMESPACE if timed else ("default",))
        if wrong:
            yield causes.invalid("involvedObject.namespace", about, "does not match event.namespace")
        if timed:
            yield from self._reported(event)

    def _reported(self, event: Obj) -> Iterator[Cause]:
        field = "reportingComponent" if self.resource.group == "" else "reportingController"
        reporter = event.get("reportingComponent") or ""
        if not reporter:
            yield causes.required(field)
        yield from ruled(field, reporter, names.qualified_name)
        yield from needed(event, "", "reportingInstance", "action", "reason")
        for name, limit in _LIMITS.items():
            if len((event.get(name) or "").encode()) > limit:
                yield causes.invalid(name, "", f"can have at most {limit} characters")


def _strict(event: Obj) -> Iterator[Cause]:
    yield from _series(event)
    if event.get("eventTime") is None:
        yield causes.required("eventTime")
    kind = event.get("type") or ""
    if kind not in ("Normal", "Warning"):
        yield causes.invalid("type", "", f"has invalid value: {kind}")
    source = event.get("source") or {}
    for field, value in (
        ("firstTimestamp", event.get("firstTimestamp")),
        ("lastTimestamp", event.get("lastTimestamp")),
        ("count", event.get("count")),
        ("source", source.get("component") or source.get("host")),
    ):
        if value:
            yield causes.invalid(field, "", "needs to be unset")


def _series(event: Obj) -> Iterator[Cause]:
    series = event.get("series")
    if series is None:
        return
    if (series.get("count") or 0) < 2:
        yield causes.invalid("series.count", "", "should be at least 2")
    if series.get("lastObservedTime") is None:
        yield causes.required("series.lastObservedTime")


def _changed(now: Obj, had: Obj) -> Iterator[Cause]:
    for field in _FOR_LIFE:
        value, before = now.get(field), had.get(field)
        if (value or None) == (before or None):
            continue
        told = "reportingController" if field == "reportingComponent" else field
        if field == "eventTime" and value is None:
            message = f"Invalid value: 0001-01-01 00:00:00 +0000 UTC: {causes.IMMUTABLE}"
            yield Cause(told, message, "FieldValueInvalid")
        elif value is None and not isinstance(before, dict):
            yield causes.invalid(told, "" if isinstance(before, str) else 0, causes.IMMUTABLE)
        else:
            yield causes.invalid(told, value, causes.IMMUTABLE)
