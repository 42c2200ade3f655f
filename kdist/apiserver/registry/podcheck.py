"""What is wrong with a pod spec: its own fields here; containers, volumes, contexts, scheduling in their modules."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import podcontainers, podcontext, podscheduling, podvolumes
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.enums import one_of

_NAME_SERVERS = 3
_SEARCH_PATHS = 32
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")


def check_spec(spec: Obj, field: str) -> list[Cause]:
    """Causes for a whole pod spec at ``field``."""
    found = list(_scalars(spec, field))
    wrong, usable = podvolumes.check(spec, f"{field}.volumes")
    found += wrong
    if not spec.get("containers"):
        found.append(causes.required(f"{field}.containers"))
    found += podcontainers.check_all(spec, field, usable)
    found += podcontext.check_pod(spec, field)
    found += _dns(spec, field)
    return found + podscheduling.check(spec, field)


def _scalars(spec: Obj, field: str) -> Iterator[Cause]:
    yield from one_of(spec, "restartPolicy", field, ("Always", "OnFailure", "Never"))
    yield from one_of(spec, "dnsPolicy", field, _DNS_POLICIES)
    yield from one_of(spec, "preemptionPolicy", field, ("PreemptLowerPriority", "Never"))
    if (limit := spec.get("activeDeadlineSeconds")) is not None and not 1 <= limit <= 2**31 - 1:
        told = "must be between 1 and 2147483647, inclusive"
        yield causes.invalid(f"{field}.activeDeadlineSeconds", limit, told)
    for name, rule in (
        ("serviceAccountName", names.dns_subdomain),
        ("nodeName", names.dns_subdomain),
        ("hostname", names.dns_label_of_host),
        ("subdomain", names.dns_label_of_host),
        ("priorityClassName", names.dns_subdomain),
        ("runtimeClassName", names.dns_subdomain),
    ):
        if value := spec.get(name):
            yield from (causes.invalid(f"{field}.{name}", value, c) for c in rule(value))
    for at, alias in enumerate(spec.get("hostAliases") or ()):
        yield from _host_alias(alias, f"{field}.hostAliases[{at}]")
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        told = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield causes.invalid(f"{field}.shareProcessNamespace", True, told)
    yield from _gates(spec, field)
    yield from _system(spec, field)


def _gates(spec: Obj, field: str) -> Iterator[Cause]:
    for at, gate in enumerate(spec.get("readinessGates") or ()):
        kind = gate.get("conditionType") or ""
        where = f"{field}.readinessGates[{at}].conditionType"
        yield from (causes.invalid(where, kind, c) for c in names.qualified_name(kind))
    seen: set[str] = set()
    for at, gate in enumerate(spec.get("schedulingGates") or ()):
        where, name = f"{field}.schedulingGates[{at}]", gate.get("name") or ""
        yield from (causes.invalid(where, name, c) for c in names.qualified_name(name))
        if name in seen:
            yield causes.duplicate(where, name)
        seen.add(name)


def _system(spec: Obj, field: str) -> Iterator[Cause]:
    system = spec.get("os")
    if system is None:
        return
    name = system.get("name") or ""
    if not name:
        yield causes.required(f"{field}.os.name", "cannot be empty")
    elif name not in ("linux", "windows"):
        yield causes.not_supported(f"{field}.os", name, ("linux", "windows"))


def _dns(spec: Obj, field: str) -> Iterator[Cause]:
    config, where = spec.get("dnsConfig"), f"{field}.dnsConfig"
    alone = spec.get("dnsPolicy") == "None"
    if config is None:
        if alone:
            yield causes.required(where, "must provide `dnsConfig` when `dnsPolicy` is None")
        return
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if alone and not servers:
        told = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        yield causes.required(f"{where}.nameservers", told)
    if len(servers) > _NAME_SERVERS:
        told = f"must not have more than {_NAME_SERVERS} nameservers"
        yield causes.invalid(f"{where}.nameservers", servers, told)
    for at, server in enumerate(servers):
        yield from ip_address(server, f"{where}.nameservers[{at}]")
    if len(searches) > _SEARCH_PATHS:
        told = f"must not have more than {_SEARCH_PATHS} search paths"
        yield causes.invalid(f"{where}.searches", searches, told)
    for at, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield causes.required(f"{where}.options[{at}]", "must not be empty")


def _host_alias(alias: Obj, field: str) -> Iterator[Cause]:
    yield from ip_address(alias.get("ip") or "", f"{field}.ip")
    for at, host in enumerate(alias.get("hostnames") or ()):
        yield from (causes.invalid(f"{field}.hostnames[{at}]", host, c) for c in names.dns_subdomain(host))


def ip_address(text: str, field: str) -> list[Cause]:
    """A cause when the text is no IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return [causes.invalid(field, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    return []
