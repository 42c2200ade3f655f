"""Namespaces, nodes, priority and runtime classes, leases, quotas and limit ranges."""

from __future__ import annotations

from kdist.api import meta, quantity
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy, keep
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.validation import causes, names

_NAME_LABEL = "kubernetes.io/metadata.name"
_HIGHEST_USER_PRIORITY = 1_000_000_000


class NamespaceStrategy(Strategy):
    """Namespaces: they carry their name as a label, and a finalizer until they are empty."""

    name_rule = staticmethod(names.dns_label)

    def default(self, obj: Obj) -> None:
        """The label that namespace selectors use."""
        metadata = obj.setdefault("metadata", {})
        if metadata.get("name"):
            metadata.setdefault("labels", {})[_NAME_LABEL] = metadata["name"]

    def prepare_create(self, obj: Obj) -> None:
        """Active, and kept until the namespace controller has emptied it."""
        super().prepare_create(obj)
        self.default(obj)  # a generated name is known only now
        finalizers = obj.setdefault("spec", {}).setdefault("finalizers", [])
        if "kubernetes" not in finalizers:
            finalizers.append("kubernetes")
        obj["status"] = {"phase": "Active"}

    def prepare_update(self, new: Obj, old: Obj) -> None:
        """Finalizers of the spec go by the subresource alone."""
        super().prepare_update(new, old)
        new.setdefault("spec", {})
        keep(new["spec"], old.get("spec") or {}, "finalizers")

    def prepare_subresource_update(self, subresource: str, new: Obj, old: Obj) -> None:
        """``finalize`` changes spec.finalizers, ``status`` the status."""
        if subresource != "finalize":
            self.prepare_status_update(new, old)
            return
        wanted = (new.get("spec") or {}).get("finalizers") or []
        self.prepare_status_update(new, old)
        keep(new, old, "status")
        new["spec"] = {"finalizers": wanted} if wanted else {}

    def fields(self, obj: Obj) -> dict[str, str]:
        """By phase, too."""
        return {**super().fields(obj), "status.phase": meta.get(obj, "status.phase", "")}


class PriorityClassStrategy(Strategy):
    """PriorityClasses: the value is for life."""

    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Preempts lower priorities."""
        fill(obj, preemptionPolicy="PreemptLowerPriority")

    def check(self, obj: Obj) -> list[Cause]:
        """Names and values of the system are reserved."""
        found: list[Cause] = []
        name, value = meta.name(obj), obj.get("value", 0)
        if name.startswith("system-"):
            if name not in ("system-node-critical", "system-cluster-critical"):
                told = "priority class names with 'system-' prefix are reserved for system use only. error: "
                told += f"{name} is not a known system priority class"
                found.append(causes.forbidden("metadata.name", told))
        elif value > _HIGHEST_USER_PRIORITY:
            told = f"maximum allowed value of a user defined priority is {_HIGHEST_USER_PRIORITY}"
            found.append(causes.forbidden("value", told))
        policy, supported = obj.get("preemptionPolicy"), ("PreemptLowerPriority", "Never")
        if policy not in supported:
            found.append(causes.not_supported("preemptionPolicy", policy, supported))
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Value and policy cannot change."""
        found = []
        if new.get("value", 0) != old.get("value", 0):
            found.append(causes.forbidden("value", "may not be changed in an update."))
        return found + causes.immutable(
            "preemptionPolicy", new.get("preemptionPolicy"), old.get("preemptionPolicy")
        )


class RuntimeClassStrategy(Strategy):
    """RuntimeClasses: the handler is for life."""

    allow_create_on_update = True
    allow_unconditional_update = False

    def check(self, obj: Obj) -> list[Cause]:
        """The handler is a DNS label."""
        handler = obj.get("handler") or ""
        return [causes.invalid("handler", handler, c) for c in names.dns_label(handler)]

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The handler cannot change."""
        return causes.immutable("handler", new.get("handler"), old.get("handler"))


class LeaseStrategy(Strategy):
    """Leases, created on renewal if need be."""

    allow_create_on_update = True
    allow_unconditional_update = False

    def check(self, obj: Obj) -> list[Cause]:
        """Durations and counts make sense."""
        found: list[Cause] = []
        spec = obj.get("spec") or {}
        duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
        if duration is not None and duration <= 0:
            found.append(causes.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
        if transitions is not None and transitions < 0:
            told = "must be greater than or equal to 0"
            found.append(causes.invalid("spec.leaseTransitions", transitions, told))
        return found


class ResourceQuotaStrategy(Strategy):
    """ResourceQuotas."""

    def check(self, obj: Obj) -> list[Cause]:
        """Amounts are not negative; scopes are known and for life."""
        found: list[Cause] = []
        for name, amount in meta.get(obj, "spec.hard", {}).items():
            where = f"spec.hard[{name}]"
            found += [causes.invalid(where, name, c) for c in names.qualified_name(name)]
            if quantity.parse(amount) < 0:
                found.append(causes.invalid(where, amount, "must be greater than or equal to 0"))
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Scopes cannot change."""
        return causes.immutable("spec.scopes", meta.get(new, "spec.scopes"), meta.get(old, "spec.scopes"))


class LimitRangeStrategy(Strategy):
    """LimitRanges."""

    allow_create_on_update = True

    def default(self, obj: Obj) -> None:
        """A container's default limit is its maximum, its default request the default limit or the minimum."""
        for item in meta.get(obj, "spec.limits", []):
            if item.get("type") != "Container":
                continue
            default = {**(item.get("max") or {}), **(item.get("default") or {})}
            request = {**(item.get("min") or {}), **default, **(item.get("defaultRequest") or {})}
            for field, amounts in (("default", default), ("defaultRequest", request)):
                if amounts:
                    item[field] = amounts

    def check(self, obj: Obj) -> list[Cause]:
        """Minimum, defaults and maximum are in order; a type is limited once."""
        found: list[Cause] = []
        seen: set[str] = set()
        for at, item in enumerate(meta.get(obj, "spec.limits", [])):
            where, kind = f"spec.limits[{at}]", item.get("type") or ""
            if kind in seen:
                found.append(causes.duplicate(f"{where}.type", kind))
            seen.add(kind)
            for low, high in (
                ("min", "max"),
                ("min", "default"),
                ("defaultRequest", "default"),
                ("default", "max"),
            ):
                found += _in_order(item, low, high, where)
        return found


def _in_order(item: Obj, low: str, high: str, where: str) -> list[Cause]:
    lower, upper = item.get(low) or {}, item.get(high) or {}
    return [
        causes.invalid(
            f"{where}.{low}[{r}]", lower[r], f"{low} value {lower[r]} is greater than {high} value {upper[r]}"
        )
        for r in lower.keys() & upper.keys()
        if quantity.parse(lower[r]) > quantity.parse(upper[r])
    ]
