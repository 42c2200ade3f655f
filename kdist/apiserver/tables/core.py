"""Tables of the core group's plain kinds, nodes, events, identities and quotas."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from kdist.api import meta, pods
from kdist.api.meta import Obj
from kdist.apiserver.tables.columns import NONE, UNKNOWN, UNSET, age, duration, joined, printer, shown, since

_ROLE = "node-role.kubernetes.io/"


@printer("Status", "Message", "Error")
def COMPONENT_STATUS(obj: Obj, now: datetime) -> list[Any]:
    """ComponentStatuses."""
    healthy: Obj = next((c for c in obj.get("conditions") or () if c.get("type") == "Healthy"), {})
    word = {"True": "Healthy", "False": "Unhealthy"}.get(healthy.get("status", ""), "Unknown")
    return [meta.name(obj), word, healthy.get("message", ""), healthy.get("error", "")]


@printer("Data", "Age")
def CONFIG_MAP(obj: Obj, now: datetime) -> list[Any]:
    """ConfigMaps."""
    count = len(obj.get("data") or ()) + len(obj.get("binaryData") or ())
    return [meta.name(obj), count, age(obj, now)]


@printer("Type", "Data", "Age")
def SECRET(obj: Obj, now: datetime) -> list[Any]:
    """Secrets."""
    return [meta.name(obj), obj.get("type", ""), len(obj.get("data") or ()), age(obj, now)]


@printer("Secrets", "Age")
def SERVICE_ACCOUNT(obj: Obj, now: datetime) -> list[Any]:
    """ServiceAccounts."""
    return [meta.name(obj), len(obj.get("secrets") or ()), age(obj, now)]


@printer("Status", "Age")
def NAMESPACE(obj: Obj, now: datetime) -> list[Any]:
    """Namespaces."""
    return [meta.name(obj), meta.get(obj, "status.phase", ""), age(obj, now)]


@printer(
    "Status",
    "Roles",
    "Age",
    "Version",
    "+Internal-IP",
    "+External-IP",
    "+OS-Image",
    "+Kernel-Version",
    "+Container-Runtime",
)
def NODE(obj: Obj, now: datetime) -> list[Any]:
    """Nodes."""
    info = meta.get(obj, "status.nodeInfo", {})
    return [
        meta.name(obj),
        _node_status(obj),
        joined(_roles(obj)),
        age(obj, now),
        info.get("kubeletVersion", ""),
        _address(obj, "InternalIP"),
        _address(obj, "ExternalIP"),
        shown(info.get("osImage"), UNKNOWN),
        shown(info.get("kernelVersion"), UNKNOWN),
        shown(info.get("containerRuntimeVersion"), UNKNOWN),
    ]


def _node_status(obj: Obj) -> str:
    ready = pods.get_condition(obj, "Ready")
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if meta.get(obj, "spec.unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(obj: Obj) -> list[str]:
    found = {k.removeprefix(_ROLE) for k in meta.labels(obj) if k.startswith(_ROLE) and k != _ROLE}
    found |= {v for k, v in meta.labels(obj).items() if k == "kubernetes.io/role" and v}
    return sorted(found)


def _address(obj: Obj, kind: str) -> str:
    addresses = meta.get(obj, "status.addresses", [])
    return next((a["address"] for a in addresses if a.get("type") == kind), NONE)


@printer(
    "Last Seen",
    "Type",
    "Reason",
    "Object",
    "+Subobject",
    "+Source",
    "Message",
    "+First Seen",
    "+Count",
    "+Name",
)
def EVENT(obj: Obj, now: datetime) -> list[Any]:
    """Events, both versions."""
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    last = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp") or first
    count = obj.get("count") or obj.get("deprecatedCount") or 1
    if series := obj.get("series"):
        last, count = series.get("lastObservedTime") or last, series.get("count", count)
    return [
        since(last, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        "/".join(part for part in (about.get("kind", "").lower(), about.get("name", "")) if part),
        about.get("fieldPath", ""),
        _event_source(obj),
        (obj.get("message") or obj.get("note") or "").strip(),
        since(first, now),
        count,
        meta.name(obj),
    ]


def _event_source(obj: Obj) -> str:
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = (
        source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    )
    host = source.get("host") or obj.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component


@printer("Age", "Request", "Limit")
def RESOURCE_QUOTA(obj: Obj, now: datetime) -> list[Any]:
    """ResourceQuotas: what is used of what is allowed."""
    hard, used = meta.get(obj, "status.hard", {}), meta.get(obj, "status.used", {})
    told = {"requests": [], "limits": []}  # type: dict[str, list[str]]
    for name in sorted(hard):
        side = "limits" if re.match("limits[.]", name) else "requests"
        told[side].append(f"{name}: {used.get(name, 0)}/{hard[name]}")
    return [meta.name(obj), age(obj, now), ", ".join(told["requests"]), ", ".join(told["limits"])]


@printer("Holder", "Age")
def LEASE(obj: Obj, now: datetime) -> list[Any]:
    """Leases."""
    return [meta.name(obj), meta.get(obj, "spec.holderIdentity", ""), age(obj, now)]


@printer("Handler", "Age")
def RUNTIME_CLASS(obj: Obj, now: datetime) -> list[Any]:
    """RuntimeClasses."""
    return [meta.name(obj), obj.get("handler", ""), age(obj, now)]


@printer("Value:integer", "Global-Default:boolean", "Age", "PreemptionPolicy")
def PRIORITY_CLASS(obj: Obj, now: datetime) -> list[Any]:
    """PriorityClasses."""
    policy = obj.get("preemptionPolicy", "PreemptLowerPriority")
    return [meta.name(obj), obj.get("value", 0), bool(obj.get("globalDefault")), age(obj, now), policy]


@printer("Age", "SignerName", "Requestor", "RequestedDuration", "Condition")
def CERTIFICATE_SIGNING_REQUEST(obj: Obj, now: datetime) -> list[Any]:
    """CertificateSigningRequests."""
    spec = obj.get("spec") or {}
    seconds = spec.get("expirationSeconds")
    signer = shown(spec.get("signerName"))
    requestor, wanted = spec.get("username", ""), NONE if seconds is None else duration(seconds)
    return [meta.name(obj), age(obj, now), signer, requestor, wanted, _request_word(obj)]


def _request_word(obj: Obj) -> str:
    held = [c.get("type") for c in meta.get(obj, "status.conditions", [])]
    words = [w for w in ("Denied", "Approved") if w in held][:1] or ["Pending"]
    words += [w for w in ("Failed",) if w in held]
    return ",".join([*words, *(["Issued"] if meta.get(obj, "status.certificate") else [])])


def _binding(obj: Obj, now: datetime) -> list[Any]:
    ref, subjects = obj.get("roleRef") or {}, obj.get("subjects") or []
    users = [s["name"] for s in subjects if s.get("kind") == "User"]
    groups = [s["name"] for s in subjects if s.get("kind") == "Group"]
    accounts = [
        f"{s.get('namespace', '')}/{s['name']}" for s in subjects if s.get("kind") == "ServiceAccount"
    ]
    role = f"{ref.get('kind', '')}/{ref.get('name', '')}"
    return [meta.name(obj), role, age(obj, now), ", ".join(users), ", ".join(groups), ", ".join(accounts)]


ROLE_BINDING = printer("Role", "Age", "+Users", "+Groups", "+ServiceAccounts")(_binding)


@printer("Service", "Available", "Age")
def API_SERVICE(obj: Obj, now: datetime) -> list[Any]:
    """APIServices."""
    service = meta.get(obj, "spec.service")
    where = f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"
    available = pods.get_condition(obj, "Available") or {}
    word = available.get("status", "Unknown")
    if word != "True" and available.get("reason"):
        word = f"{word} ({available['reason']})"
    return [meta.name(obj), where, word, age(obj, now)]


def _webhooks(obj: Obj, now: datetime) -> list[Any]:
    return [meta.name(obj), len(obj.get("webhooks") or ()), age(obj, now)]


WEBHOOKS = printer("Webhooks:integer", "Age")(_webhooks)


@printer("Validations:integer", "ParamKind", "Age")
def VALIDATING_ADMISSION_POLICY(obj: Obj, now: datetime) -> list[Any]:
    """ValidatingAdmissionPolicies."""
    kind = meta.get(obj, "spec.paramKind")
    told = f"{kind['apiVersion']}/{kind['kind']}" if kind else UNSET
    return [meta.name(obj), len(meta.get(obj, "spec.validations", [])), told, age(obj, now)]


@printer("Mutations:integer", "ParamKind", "Age")
def MUTATING_ADMISSION_POLICY(obj: Obj, now: datetime) -> list[Any]:
    """MutatingAdmissionPolicies."""
    kind = meta.get(obj, "spec.paramKind")
    told = f"{kind['apiVersion']}/{kind['kind']}" if kind else UNSET
    return [meta.name(obj), len(meta.get(obj, "spec.mutations", [])), told, age(obj, now)]


@printer("PolicyName", "ParamRef", "Age")
def VALIDATING_ADMISSION_POLICY_BINDING(obj: Obj, now: datetime) -> list[Any]:
    """ValidatingAdmissionPolicyBindings."""
    ref = meta.get(obj, "spec.paramRef")
    told = UNSET
    if ref:
        told = f"{ref.get('namespace', '*')}/{ref.get('name', '*')}"
    return [meta.name(obj), meta.get(obj, "spec.policyName", ""), told, age(obj, now)]


@printer("PriorityLevel", "MatchingPrecedence", "DistinguisherMethod", "Age", "MissingPL")
def FLOW_SCHEMA(obj: Obj, now: datetime) -> list[Any]:
    """FlowSchemas."""
    spec = obj.get("spec") or {}
    dangling = (pods.get_condition(obj, "Dangling") or {}).get("status", "?")
    return [
        meta.name(obj),
        meta.get(spec, "priorityLevelConfiguration.name", ""),
        spec.get("matchingPrecedence", 0),
        meta.get(spec, "distinguisherMethod.type", NONE),
        age(obj, now),
        dangling,
    ]


@printer("Type", "NominalConcurrencyShares", "Queues", "HandSize", "QueueLengthLimit", "Age")
def PRIORITY_LEVEL(obj: Obj, now: datetime) -> list[Any]:
    """PriorityLevelConfigurations."""
    spec = obj.get("spec") or {}
    shares = meta.get(spec, "limited.nominalConcurrencyShares", NONE)
    queuing = meta.get(spec, "limited.limitResponse.queuing", {})
    queues = [queuing.get(k, NONE) for k in ("queues", "handSize", "queueLengthLimit")]
    return [meta.name(obj), spec.get("type", ""), shares, *queues, age(obj, now)]
