"""CSIStorageCapacities: how much of a storage class is left where."""

from __future__ import annotations

from kdist.api import quantity
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.labelselectors import check_label_selector
from kdist.apiserver.validation import causes, names


class CSIStorageCapacityStrategy(Strategy):
    """CSIStorageCapacities: class and topology are for life."""

    allow_unconditional_update = False

    def check(self, obj: Obj) -> list[Cause]:
        """A class, and amounts that are not negative."""
        name = obj.get("storageClassName") or ""
        found = [causes.invalid("storageClassName", name, told) for told in names.dns_subdomain(name)]
        for field in ("capacity", "maximumVolumeSize"):
            amount = obj.get(field)
            if amount is not None and quantity.parse(amount) < 0:
                found.append(causes.invalid(field, amount, "must be greater than or equal to 0"))
        return found + check_label_selector(obj.get("nodeTopology"), "nodeTopology")

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Only the amounts change."""
        found = causes.immutable("nodeTopology", new.get("nodeTopology"), old.get("nodeTopology"))
        name = "storageClassName"
        return found + causes.immutable(name, new.get(name), old.get(name))
