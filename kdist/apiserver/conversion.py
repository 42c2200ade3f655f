"""Between versions of one kind that share their storage.

Versions of the same shape differ only in their apiVersion; the others are listed in :data:`_CONVERSIONS`.
"""

from __future__ import annotations

from collections.abc import Callable

from kdist.api.meta import Obj
from kdist.api.resources import Resource
from kdist.apiserver import autoscalerversions


def convert(obj: Obj, to: Resource) -> Obj:
    """The object in the version of ``to``; may change and return its argument."""
    have = obj.get("apiVersion", "")
    if have == to.api_version:
        return obj
    special = _CONVERSIONS.get((to.kind, have, to.api_version))
    converted = special(obj) if special else obj
    converted["apiVersion"] = to.api_version
    return converted


def _rename(obj: Obj, names: dict[str, str]) -> Obj:
    return {names.get(key, key): value for key, value in obj.items()}


_EVENT_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}


def _event_to_new(obj: Obj) -> Obj:
    return _rename(obj, _EVENT_NAMES)


def event_to_core(obj: Obj) -> Obj:
    """An event of events.k8s.io as one of core."""
    return _rename(obj, {new: old for old, new in _EVENT_NAMES.items()})


_CONVERSIONS: dict[tuple[str, str, str], Callable[[Obj], Obj]] = {
    ("Event", "v1", "events.k8s.io/v1"): _event_to_new,
    ("Event", "events.k8s.io/v1", "v1"): event_to_core,
    ("HorizontalPodAutoscaler", "autoscaling/v2", "autoscaling/v1"): autoscalerversions.to_v1,
    ("HorizontalPodAutoscaler", "autoscaling/v1", "autoscaling/v2"): autoscalerversions.from_v1,
}
