"""DaemonSets: a pod on every node, rolled node by node; templates are counted for old clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import podwarnings
from kdist.apiserver.registry.counts import check_int_or_percent, is_nothing, not_negative
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.registry.workloads import WorkloadStrategy
from kdist.apiserver.validation import causes

TEMPLATE_COUNT = "deprecated.daemonset.template.generation"


class DaemonSetStrategy(WorkloadStrategy):
    """DaemonSets."""

    unreadable_selector = None
    without_deadline = "DaemonSet"
    initial_status: ClassVar[Obj] = {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }

    def default(self, obj: Obj) -> None:
        """Rolled one node at a time."""
        super().default(obj)
        if TEMPLATE_COUNT not in meta.annotations(obj):
            _count_template({"metadata": obj.setdefault("metadata", {})}, 0)
        spec = obj["spec"]
        fill(spec, revisionHistoryLimit=10)
        update = spec.setdefault("updateStrategy", {})
        fill(update, type="RollingUpdate")
        if update["type"] == "RollingUpdate":
            fill(update.setdefault("rollingUpdate", {}), maxUnavailable=1, maxSurge=0)

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """Only of the template: pods get names of their own."""
        return podwarnings.of_template(
            (obj.get("spec") or {}).get("template") or {}, "spec.template", self.features
        )

    def prepare_create(self, obj: Obj) -> None:
        """Templates are counted, where clients of an older version look for it."""
        super().prepare_create(obj)
        _count_template(obj, max(_template_count(obj), 1))

    def prepare_update(self, new: Obj, old: Obj) -> None:
        """Another template is the next one."""
        super().prepare_update(new, old)
        count = _template_count(old)
        changed = (new.get("spec") or {}).get("template") != (old.get("spec") or {}).get("template")
        _count_template(new, count + 1 if changed else count)

    def missing(self, obj: Obj) -> list[Cause]:
        """A selector that is not there is told of as one that does not match."""
        return [c for c in super().missing(obj) if c.field != "spec.selector"]

    def check(self, obj: Obj) -> list[Cause]:
        """The update strategy as well."""
        found = super().check(obj)
        spec = obj.get("spec") or {}
        found += not_negative(spec, "revisionHistoryLimit", "spec.revisionHistoryLimit")
        update = spec.get("updateStrategy") or {}
        if update.get("type") not in ("OnDelete", "RollingUpdate"):
            supported = ("RollingUpdate", "OnDelete")
            found.append(causes.not_supported("spec.updateStrategy", update, supported))
        if update.get("type") == "RollingUpdate" and (rolling := update.get("rollingUpdate")) is not None:
            found += _check_daemon_rollout(rolling, "spec.updateStrategy.rollingUpdate")
        return found


def _template_count(obj: Obj) -> int:
    text = meta.annotations(obj).get(TEMPLATE_COUNT, "")
    return int(text) if text.isdigit() else 0


def _count_template(obj: Obj, count: int) -> None:
    obj["metadata"]["annotations"] = {**meta.annotations(obj), TEMPLATE_COUNT: str(count)}


def _check_daemon_rollout(rolling: Obj, where: str) -> Iterator[Cause]:
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    for key, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        yield from check_int_or_percent(value, f"{where}.{key}")
    if not is_nothing(unavailable) and not is_nothing(surge):
        yield causes.invalid(f"{where}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")
    if is_nothing(unavailable) and is_nothing(surge):
        yield causes.required(f"{where}.maxUnavailable", "cannot be 0 when maxSurge is 0")
