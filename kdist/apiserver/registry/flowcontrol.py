"""What flow control objects must be: checks of FlowSchemas and PriorityLevelConfigurations, in upstream's words."""

from __future__ import annotations

import math
from collections.abc import Iterator

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.flowcontrol.defaults import EXEMPT, MANDATORY_LEVELS, MANDATORY_SCHEMAS
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import ruled, word

MAX_QUEUES = 10_000_000
HASH_BITS = 60  # of a flow's hash that dealing a hand may use up
_FIXED_SCHEMAS = {meta.name(fixed): fixed["spec"] for fixed in MANDATORY_SCHEMAS}
_FIXED_LEVELS = {meta.name(fixed): fixed["spec"] for fixed in MANDATORY_LEVELS}
_TYPES, _RESPONSES = ("Exempt", "Limited"), ("Queue", "Reject")
_METHODS = ("ByNamespace", "ByUser")
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")


def schema_causes(obj: Obj) -> Iterator[Cause]:
    """What is wrong with a FlowSchema."""
    spec, field = obj.get("spec") or {}, "spec.matchingPrecedence"
    precedence = spec.get("matchingPrecedence", 0)
    if precedence <= 0:
        yield causes.invalid(field, precedence, "must be a positive value")
    if precedence > 10000:
        yield causes.invalid(field, precedence, "must not be greater than 10000")
    if precedence == 1 and meta.name(obj) != "exempt":
        told = "only the schema named 'exempt' may have matchingPrecedence 1"
        yield causes.invalid(field, precedence, told)
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in _METHODS:
        yield causes.not_supported("spec.distinguisherMethod.type", method, _METHODS)
    level, field = (
        meta.get(spec, "priorityLevelConfiguration.name", ""),
        "spec.priorityLevelConfiguration.name",
    )
    yield from (
        ruled(field, level, names.dns_subdomain)
        if level
        else [causes.required(field, "must reference a priority level")]
    )
    for number, rule in enumerate(spec.get("rules") or ()):
        yield from _rule_causes(rule, f"spec.rules[{number}]")
    if spec != _FIXED_SCHEMAS.get(meta.name(obj), spec):
        told = f"spec of '{meta.name(obj)}' must equal the fixed value"
        yield causes.invalid("spec", spec, told)


def _rule_causes(rule: Obj, at: str) -> Iterator[Cause]:
    if not rule.get("subjects"):
        yield causes.required(f"{at}.subjects", "subjects must contain at least one value")
    for number, subject in enumerate(rule.get("subjects") or ()):
        yield from _subject_causes(subject, f"{at}.subjects[{number}]")
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        yield causes.required(at, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for number, resources in enumerate(rule.get("resourceRules") or ()):
        yield from _resource_causes(resources, f"{at}.resourceRules[{number}]")
    for number, paths in enumerate(rule.get("nonResourceRules") or ()):
        yield from _path_rule_causes(paths, f"{at}.nonResourceRules[{number}]")


def _subject_causes(subject: Obj, at: str) -> Iterator[Cause]:
    kind = subject.get("kind") or ""
    if kind not in _SUBJECTS:
        yield from word(f"{at}.kind", kind, _SUBJECTS)
        return
    for other, field in _SUBJECTS.items():
        named = subject.get(field)
        if other != kind and named is not None:
            told = f"{field} is forbidden when subject kind is not '{other}'"
            yield causes.forbidden(f"{at}.{field}", told)
        elif other == kind and named is None:
            yield causes.required(f"{at}.{field}", f"{field} is required when subject kind is '{kind}'")
        elif other == kind:
            yield from _named_causes(kind, named or {}, f"{at}.{field}")


def _named_causes(kind: str, named: Obj, at: str) -> Iterator[Cause]:
    name = named.get("name") or ""
    if not name:
        yield causes.required(f"{at}.name")
    elif kind == "ServiceAccount" and name != "*":
        yield from ruled(f"{at}.name", name, names.dns_subdomain)
    if kind != "ServiceAccount":
        return
    if namespace := named.get("namespace") or "":
        yield from ruled(f"{at}.namespace", namespace, names.dns_label)
    else:
        yield causes.required(f"{at}.namespace", "must specify namespace for service account")


def _listed(rule: Obj, at: str, field: str, missing: str, others: str) -> Iterator[Cause]:
    """A list that is not empty, and either everything or names."""
    values = rule.get(field) or []
    if not values:
        yield causes.required(f"{at}.{field}", missing)
    elif "*" in values and len(values) > 1:
        yield causes.invalid(f"{at}.{field}", values, f"if '*' is present, must not specify other {others}")


def _verb_causes(rule: Obj, at: str) -> Iterator[Cause]:
    yield from _listed(rule, at, "verbs", "verbs must contain at least one value", "verbs")
    verbs = rule.get("verbs") or []
    if "*" not in verbs and not set(verbs) <= set(_VERBS):
        yield causes.not_supported(f"{at}.verbs", verbs, _VERBS)


def _resource_causes(rule: Obj, at: str) -> Iterator[Cause]:
    yield from _verb_causes(rule, at)
    told = "resource rules must supply at least one api group"
    yield from _listed(rule, at, "apiGroups", told, "api groups")
    yield from _listed(rule, at, "resources", "resource rules must supply at least one resource", "resources")
    spaces = rule.get("namespaces") or []
    if spaces or not rule.get("clusterScope"):
        told = "resource rules that are not cluster scoped must supply at least one namespace"
        yield from _listed(rule, at, "namespaces", told, "namespaces")
    for number, space in enumerate(() if "*" in spaces else spaces):
        for complaint in names.dns_label(space):
            told = f"each member of this list must be '*' or a DNS-1123 label; {complaint}"
            yield causes.invalid(f"{at}.namespaces[{number}]", space, told)


def _path_rule_causes(rule: Obj, at: str) -> Iterator[Cause]:
    yield from _verb_causes(rule, at)
    told = "nonResourceURLs must contain at least one value"
    yield from _listed(rule, at, "nonResourceURLs", told, "non-resource URLs")
    paths = rule.get("nonResourceURLs") or []
    for number, path in enumerate(() if "*" in paths else paths):
        if told := _path_complaint(path):
            yield causes.invalid(f"{at}.nonResourceURLs[{number}]", path, told)


def _path_complaint(path: str) -> str:
    if not path:
        return "must not be empty"
    if not path.startswith("/"):
        return "must start with slash"
    if " " in path:
        return "must not contain white-space"
    if "//" in path:
        return "must not contain double slash"
    stars = path.count("*")
    return "wildcard can only do suffix matching" if stars > 1 or (stars and path[-2:] != "/*") else ""


def level_causes(obj: Obj) -> Iterator[Cause]:
    """What is wrong with a PriorityLevelConfiguration."""
    spec = obj.get("spec") or {}
    kind, limited, exempt = spec.get("type", ""), spec.get("limited"), spec.get("exempt")
    if (meta.name(obj) == "exempt") != (kind == "Exempt"):
        yield causes.invalid("spec.type", kind, "type must be 'Exempt' if and only if name is 'exempt'")
    if kind not in _TYPES:
        yield causes.not_supported("spec.type", kind, _TYPES)
    elif kind == "Exempt":
        if limited is not None:
            yield causes.forbidden("spec.limited", "must be nil if the type is not Limited")
        yield from _share_causes(exempt or {}, "spec.exempt")
    else:
        if exempt is not None:
            yield causes.forbidden("spec.exempt", "must be nil if the type is Limited")
        if limited is None:
            yield causes.required("spec.limited", "must not be empty when type is Limited")
        else:
            yield from _share_causes(limited, "spec.limited")
            yield from _response_causes(limited.get("limitResponse") or {}, "spec.limited.limitResponse")
    if (fixed := _FIXED_LEVELS.get(meta.name(obj))) is not None:
        yield from _fixed_causes(meta.name(obj), spec, fixed)


def _fixed_causes(name: str, spec: Obj, fixed: Obj) -> Iterator[Cause]:
    """What is mandatory does not change, but for the shares of those who are exempt."""
    free = {"exempt"} if name == EXEMPT else set()
    if {k: v for k, v in spec.items() if k not in free} != {k: v for k, v in fixed.items() if k not in free}:
        but = " except the 'spec.exempt' field" if free else ""
        yield causes.invalid("spec", spec, f"spec of '{name}'{but} must equal the fixed value")


def _share_causes(shares: Obj, at: str) -> Iterator[Cause]:
    nominal, lendable = shares.get("nominalConcurrencyShares") or 0, shares.get("lendablePercent") or 0
    borrowing = shares.get("borrowingLimitPercent")
    if nominal < 0:
        yield causes.invalid(f"{at}.nominalConcurrencyShares", nominal, "must be a non-negative integer")
    if not 0 <= lendable <= 100:
        yield causes.invalid(f"{at}.lendablePercent", lendable, "must be between 0 and 100, inclusive")
    if borrowing is not None and borrowing < 0:
        told = "if specified, must be a non-negative integer"
        yield causes.invalid(f"{at}.borrowingLimitPercent", borrowing, told)


def _response_causes(response: Obj, at: str) -> Iterator[Cause]:
    kind, queuing = response.get("type", ""), response.get("queuing")
    if kind not in _RESPONSES:
        yield causes.not_supported(f"{at}.type", kind, _RESPONSES)
    elif kind == "Reject":
        if queuing is not None:
            told = "must be nil if limited.limitResponse.type is not Limited"
            yield causes.forbidden(f"{at}.queuing", told)
    elif queuing is None:
        told = "must not be empty if limited.limitResponse.type is Limited"
        yield causes.required(f"{at}.queuing", told)
    else:
        yield from _queuing_causes(queuing, f"{at}.queuing")


def _queuing_causes(queuing: Obj, at: str) -> Iterator[Cause]:
    length, queues, hand = (queuing.get(name, 0) for name in ("queueLengthLimit", "queues", "handSize"))
    if length <= 0:
        yield causes.invalid(f"{at}.queueLengthLimit", length, "must be positive")
    if queues <= 0:
        yield causes.invalid(f"{at}.queues", queues, "must be positive")
    elif queues > MAX_QUEUES:
        yield causes.invalid(f"{at}.queues", queues, f"must not be greater than {MAX_QUEUES}")
    if hand <= 0:
        yield causes.invalid(f"{at}.handSize", hand, "must be positive")
    elif hand > queues:
        yield causes.invalid(f"{at}.handSize", hand, f"should not be greater than queues ({queues})")
    elif _bits(queues, hand) > HASH_BITS:
        told = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        yield causes.invalid(f"{at}.handSize", hand, told)


def _bits(queues: int, hand: int) -> int:
    return math.ceil(sum(math.log2(queues - dealt) for dealt in range(hand)))
