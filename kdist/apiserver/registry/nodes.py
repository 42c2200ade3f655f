"""Nodes: they register themselves with their status; ranges and the provider's id are set once."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import oddaddresses
from kdist.apiserver.registry.addresses import check_cidr, network
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.resourceamounts import check_amount
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import ruled

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


class NodeStrategy(Strategy):
    """Nodes."""

    checks_required = False

    def default(self, obj: Obj) -> None:
        """podCIDR is the first of podCIDRs, and the one that counts where they differ."""
        spec = obj.setdefault("spec", {})
        ranges = spec.get("podCIDRs")
        if (first := spec.get("podCIDR")) and (not ranges or ranges[0] != first):
            spec["podCIDRs"] = [first]
        elif ranges:
            spec["podCIDR"] = ranges[0]
        status = obj.get("status") or {}
        if status.get("capacity") and not status.get("allocatable"):
            status["allocatable"] = dict(status["capacity"])

    def prepare_create(self, obj: Obj) -> None:
        """A node registers itself together with its status; configuration by the API is no more."""
        obj["spec"].pop("configSource", None)
        (obj.get("status") or {}).pop("config", None)

    def prepare_update(self, new: Obj, old: Obj) -> None:
        """What once configured nodes stays only where it is."""
        super().prepare_update(new, old)
        if "configSource" not in (old.get("spec") or {}):
            new["spec"].pop("configSource", None)

    def prepare_status_update(self, new: Obj, old: Obj) -> None:
        """The same of the status."""
        super().prepare_status_update(new, old)
        if "config" not in (old.get("status") or {}):
            (new.get("status") or {}).pop("config", None)

    def check(self, obj: Obj) -> list[Cause]:
        """Taints, amounts, ranges of addresses."""
        spec = obj.get("spec") or {}
        return [
            *_taints(spec.get("taints") or []),
            *_amounts(obj.get("status") or {}),
            *_ranges(spec.get("podCIDRs") or []),
        ]

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Pod CIDRs, one family after the other, and the provider's id may be set once.

        Upstream refuses a second family later; here nodes get it when their cluster becomes dual-stack.
        """
        spec, before = new.get("spec") or {}, old.get("spec") or {}
        found = _addresses(new.get("status") or {})
        had, has = before.get("podCIDRs") or [], spec.get("podCIDRs") or []
        if had and has != had and not (len(had) == 1 and len(has) == 2 and has[:1] == had):
            told = 'node updates may not change podCIDR except from "" to valid'
            found.append(causes.forbidden("spec.podCIDRs", told))
        if before.get("providerID") and spec.get("providerID") != before["providerID"]:
            told = 'node updates may not change providerID except from "" to valid'
            found.append(causes.forbidden("spec.providerID", told))
        if spec.get("externalID") != before.get("externalID"):
            found.append(causes.forbidden("spec.externalID", "may not be updated"))
        return found

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Amounts make sense, addresses are told once."""
        status = new.get("status") or {}
        return [*super().validate_status_update(new, old), *_amounts(status), *_addresses(status)]

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """Fields without effect."""
        spec, told = obj.get("spec") or {}, []
        if "configSource" in spec:
            told.append("spec.configSource: the feature is removed")
        if spec.get("externalID"):
            told.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
        if self.features.reached("1.33"):
            ranges = enumerate(spec.get("podCIDRs") or ())
            told += oddaddresses.of_networks(((f"spec.podCIDRs[{n}]", r) for n, r in ranges), self.features)
        return told

    def fields(self, obj: Obj) -> dict[str, str]:
        """By schedulability, too."""
        cordoned = "true" if meta.get(obj, "spec.unschedulable") else "false"
        return {**super().fields(obj), "spec.unschedulable": cordoned}


def _taints(taints: list[Obj]) -> Iterator[Cause]:
    seen: set[tuple[str, str]] = set()
    for at, taint in enumerate(taints):
        where, key, effect = f"metadata.taints[{at}]", taint.get("key") or "", taint.get("effect") or ""
        yield from ruled(f"{where}.key", key, names.qualified_name)
        value = taint.get("value") or ""
        if complaints := names.label_value(value):
            yield causes.invalid(f"{where}.value", value, ";".join(complaints))
        if not effect:
            yield causes.required(f"{where}.effect")
        elif effect not in _EFFECTS:
            yield causes.not_supported(f"{where}.effect", effect, _EFFECTS)
        if (key, effect) in seen:
            told = "taints must be unique by key and effect pair"
            told = f"{causes.duplicate(where, taint).message}: {told}"
            yield Cause(where, told, "FieldValueDuplicate")
        seen.add((key, effect))


def _amounts(status: Obj) -> Iterator[Cause]:
    for field in ("capacity", "allocatable"):
        for resource, amount in (status.get(field) or {}).items():
            yield from check_amount(resource, amount, f"status.{field}.{resource}")


def _addresses(status: Obj) -> list[Cause]:
    addresses = status.get("addresses") or []
    return [
        causes.duplicate(f"status.addresses[{at}]", address)
        for at, address in enumerate(addresses)
        if address in addresses[:at]
    ]


def _ranges(ranges: list[str]) -> Iterator[Cause]:
    for at, text in enumerate(ranges):
        yield from check_cidr(f"spec.podCIDRs[{at}]", text)
    if len(ranges) < 2:
        return
    families = [found.version for text in ranges if (found := network(text)) is not None]
    if len(set(families)) < 2 or len(ranges) > 2:
        told = "may specify no more than one CIDR for each IP family"
        yield causes.invalid("spec.podCIDRs", ranges, told)
    for at, text in enumerate(ranges):
        if text in ranges[:at]:
            yield causes.duplicate(f"spec.podCIDRs[{at}]", text)
