"""ControllerRevisions: what a workload was, written once."""

from __future__ import annotations

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.counts import not_negative
from kdist.apiserver.validation import causes


class ControllerRevisionStrategy(Strategy):
    """ControllerRevisions: written once."""

    checks_required = False

    def check(self, obj: Obj) -> list[Cause]:
        """A revision number is not negative, and there is data."""
        return not_negative(obj, "revision", "revision")

    def check_create(self, obj: Obj) -> list[Cause]:
        """The data is an object."""
        if "data" not in obj:
            return [causes.required("data", "data is mandatory")]
        if not isinstance(obj["data"], dict):
            return [causes.required("data", "data must be a valid JSON object")]
        return []

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The data cannot change."""
        if new.get("data") == old.get("data"):
            return []
        return [causes.invalid("data", new.get("data") or {}, causes.IMMUTABLE)]
