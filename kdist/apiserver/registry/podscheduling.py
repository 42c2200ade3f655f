"""What is wrong with the scheduling part of a pod spec: tolerations, affinity, spreading, node selector."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.metadata import validate_labels

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NODE_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
_LABEL_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def check(spec: Obj, field: str) -> list[Cause]:
    """Causes for everything that steers scheduling."""
    found = validate_labels(spec.get("nodeSelector"), f"{field}.nodeSelector")
    for at, toleration in enumerate(spec.get("tolerations") or ()):
        found += _toleration(toleration, f"{field}.tolerations[{at}]")
    for at, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        found += _spread(constraint, f"{field}.topologySpreadConstraints[{at}]")
    return found + list(_affinity(spec.get("affinity") or {}, f"{field}.affinity"))


def _toleration(toleration: Obj, field: str) -> Iterator[Cause]:
    operator = toleration.get("operator") or "Equal"
    if key := toleration.get("key"):
        yield from (causes.invalid(f"{field}.key", key, c) for c in names.qualified_name(key))
    elif operator != "Exists":
        yield causes.invalid(
            f"{field}.operator",
            operator,
            'operator must be Exists when `key` is empty, which means "match all values and all keys"',
        )
    if operator not in ("Equal", "Exists"):
        yield causes.not_supported(f"{field}.operator", operator, ("Equal", "Exists"))
    if operator == "Exists" and toleration.get("value"):
        yield causes.invalid(
            f"{field}.operator", toleration["value"], "value must be empty when `operator` is 'Exists'"
        )
    effect = toleration.get("effect")
    if effect and effect not in _EFFECTS:
        yield causes.not_supported(f"{field}.effect", effect, _EFFECTS)
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        yield causes.invalid(
            f"{field}.effect", effect or "", "effect must be 'NoExecute' when `tolerationSeconds` is set"
        )


def _spread(constraint: Obj, field: str) -> Iterator[Cause]:
    skew, action = constraint.get("maxSkew") or 0, constraint.get("whenUnsatisfiable")
    if skew <= 0:
        yield causes.invalid(f"{field}.maxSkew", skew, "must be greater than zero")
    if action and action not in ("DoNotSchedule", "ScheduleAnyway"):
        yield causes.not_supported(f"{field}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway"))
    domains = constraint.get("minDomains")
    if domains is not None and domains <= 0:
        yield causes.invalid(f"{field}.minDomains", domains, "must be greater than zero")
    if domains is not None and action == "ScheduleAnyway":
        yield causes.invalid(
            f"{field}.minDomains",
            domains,
            "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
        )
    yield from check_label_selector(constraint.get("labelSelector"), f"{field}.labelSelector")


def _affinity(affinity: Obj, field: str) -> Iterator[Cause]:
    node = affinity.get("nodeAffinity") or {}
    where = f"{field}.nodeAffinity"
    if "requiredDuringSchedulingIgnoredDuringExecution" in node:
        required = f"{where}.requiredDuringSchedulingIgnoredDuringExecution"
        yield from check_node_selector(node["requiredDuringSchedulingIgnoredDuringExecution"], required)
    for at, term in enumerate(node.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        spot = f"{where}.preferredDuringSchedulingIgnoredDuringExecution[{at}]"
        yield from _weight(term, spot)
        yield from _node_term(term.get("preference") or {}, f"{spot}.preference")
    for name in ("podAffinity", "podAntiAffinity"):
        yield from _pod_affinity(affinity.get(name) or {}, f"{field}.{name}")


def _pod_affinity(rules: Obj, where: str) -> Iterator[Cause]:
    for at, term in enumerate(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()):
        yield from _pod_term(term, f"{where}.requiredDuringSchedulingIgnoredDuringExecution[{at}]")
    for at, weighted in enumerate(rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        spot = f"{where}.preferredDuringSchedulingIgnoredDuringExecution[{at}]"
        yield from _weight(weighted, spot)
        yield from _pod_term(weighted.get("podAffinityTerm") or {}, f"{spot}.podAffinityTerm")


def _weight(term: Obj, field: str) -> list[Cause]:
    weight = term.get("weight") or 0
    return (
        []
        if 1 <= weight <= 100
        else [causes.invalid(f"{field}.weight", weight, "must be in the range 1-100")]
    )


def _pod_term(term: Obj, field: str) -> Iterator[Cause]:
    yield from check_label_selector(term.get("labelSelector"), f"{field}.labelSelector")
    key = term.get("topologyKey") or ""
    if not key:
        yield causes.required(f"{field}.topologyKey", "can not be empty")
    else:
        yield from (causes.invalid(f"{field}.topologyKey", key, c) for c in names.qualified_name(key))


def check_node_selector(selector: Obj, field: str) -> list[Cause]:
    """Causes for a v1.NodeSelector, which needs at least one term."""
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        return [causes.required(f"{field}.nodeSelectorTerms", "must have at least one node selector term")]
    return [c for at, t in enumerate(terms) for c in _node_term(t, f"{field}.nodeSelectorTerms[{at}]")]


def _node_term(term: Obj, field: str) -> Iterator[Cause]:
    for at, expression in enumerate(term.get("matchExpressions") or ()):
        yield from _expression(expression, f"{field}.matchExpressions[{at}]", _NODE_OPERATORS)


def _expression(expression: Obj, field: str, operators: tuple[str, ...]) -> Iterator[Cause]:
    operator, values = expression.get("operator"), expression.get("values") or []
    if operator in ("In", "NotIn") and not values:
        yield causes.required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist") and values:
        yield causes.forbidden(
            f"{field}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        )
    elif operator in ("Gt", "Lt") and len(values) != 1:
        yield causes.required(
            f"{field}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'"
        )
    if operator not in operators:
        yield causes.invalid(f"{field}.operator", operator or "", "not a valid selector operator")
    if key := expression.get("key"):
        yield from (causes.invalid(f"{field}.key", key, c) for c in names.qualified_name(key))


def check_label_selector(selector: Obj | None, field: str) -> list[Cause]:
    """Causes for a metav1.LabelSelector."""
    if not selector:
        return []
    found = validate_labels(selector.get("matchLabels"), f"{field}.matchLabels")
    for at, expression in enumerate(selector.get("matchExpressions") or ()):
        found += _expression(expression, f"{field}.matchExpressions[{at}]", _LABEL_OPERATORS)
    return found
