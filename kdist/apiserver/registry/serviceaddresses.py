"""What is wrong with the cluster IPs and address families of a Service."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.podcheck import ip_address
from kdist.apiserver.registry.servicetypes import HEADLESS
from kdist.apiserver.validation import causes
from kdist.apiserver.validation.fields import word

_FAMILIES = ("IPv4", "IPv6")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_SET = "may not change once set"


def check_addresses(spec: Obj) -> Iterator[Cause]:
    """Causes for the fields that an address is chosen by; none for a Service that is a name."""
    if spec.get("type") == "ExternalName":
        return
    yield from _agreement(spec)
    families = spec.get("ipFamilies") or []
    for at, family in enumerate(families):
        yield from word(f"spec.ipFamilies[{at}]", family, _FAMILIES)
        if family in families[:at]:
            yield causes.duplicate(f"spec.ipFamilies[{at}]", family)
    if (policy := spec.get("ipFamilyPolicy")) is not None:
        yield from word("spec.ipFamilyPolicy", policy, _FAMILY_POLICIES)
    addresses = spec.get("clusterIPs") or []
    wrong = list(_texts(addresses))
    yield from wrong
    if len(addresses) > 2:
        yield causes.invalid("spec.clusterIPs", addresses, "may only hold up to 2 values")
    if wrong:
        return
    if len(addresses) > 1 and len({family_of(ip) for ip in addresses}) < 2:
        told = "may specify no more than one IP for each IP family"
        yield causes.invalid("spec.clusterIPs", addresses, told)
    for at, (address, family) in enumerate(zip(addresses, families, strict=False)):
        if address != HEADLESS and family in _FAMILIES and family_of(address) != family:
            told = f"expected an {family} value as indicated by `ipFamilies[{at}]`"
            yield causes.invalid(f"spec.clusterIPs[{at}]", address, told)


def family_of(address: str) -> str:
    """IPv4 or IPv6."""
    return "IPv6" if ":" in address else "IPv4"


def _agreement(spec: Obj) -> Iterator[Cause]:
    address, addresses = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if address and not addresses:
        yield causes.required("spec.clusterIPs")
    elif address and addresses[0] != address:
        yield causes.invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`")
    elif not address and addresses:
        told = "must be empty when `clusterIP` is not specified"
        yield causes.invalid("spec.clusterIPs", addresses, told)


def _texts(addresses: list[str]) -> Iterator[Cause]:
    for at, address in enumerate(addresses):
        if at or address != HEADLESS:
            yield from ip_address(address, f"spec.clusterIPs[{at}]")
        elif len(addresses) > 1:
            yield causes.invalid("spec.clusterIPs", addresses, "'None' must be the first and only value")


def check_address_update(spec: Obj, before: Obj) -> Iterator[Cause]:
    """Causes for a change of addresses and families: only the second may come and go."""
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return
    headless = [s.get("clusterIP") == HEADLESS for s in (spec, before)]
    if all(headless):
        return
    yield from _second(
        "clusterIPs", spec, before, "primary clusterIP can not be unset", "secondary clusterIP"
    )
    if not any(headless):
        yield from _second(
            "ipFamilies", spec, before, "primary ipFamily can not be unset", "secondary ipFamily"
        )


def _second(field: str, spec: Obj, before: Obj, unset: str, second: str) -> Iterator[Cause]:
    now, had = spec.get(field) or [], before.get(field) or []
    where = f"spec.{field}"
    if len(now) == len(had):
        for at, (value, old) in enumerate(zip(now, had, strict=True)):
            if value != old:
                yield causes.invalid(f"{where}[{at if field == 'clusterIPs' else 0}]", now, _SET)
        return
    if not now and field == "clusterIPs":
        yield causes.invalid(f"{where}[0]", now, unset)
    elif had and now and now[0] != had[0]:
        yield causes.invalid(f"{where}[0]", now, _SET)
    if len(now) == 1 and len(had) > 1 and spec.get("ipFamilyPolicy") != "SingleStack":
        told = f"must be set to 'SingleStack' when releasing the {second}"
        yield causes.invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), told)
