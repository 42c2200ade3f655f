"""What is wrong with the scheduling part of a pod spec: tolerations, affinity, spreading, node selector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.labelselectors import LABEL_OPERATORS, check_expression, check_label_selector
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.metadata import validate_labels

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NODE_OPERATORS = (*LABEL_OPERATORS, "Gt", "Lt")
_INCLUSION = ("Honor", "Ignore")
_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def check(spec: Obj, field: str) -> list[Cause]:
    """Causes for everything that steers scheduling."""
    found = validate_labels(spec.get("nodeSelector"), f"{field}.nodeSelector")
    found += check_tolerations(spec.get("tolerations") or (), f"{field}.tolerations")
    constraints = spec.get("topologySpreadConstraints") or []
    for at, constraint in enumerate(constraints):
        where = f"{field}.topologySpreadConstraints[{at}]"
        found += _spread(constraint, where)
        found += _spread_twice(constraint, constraints[at + 1 :], where)
    return found + list(_affinity(spec.get("affinity") or {}, f"{field}.affinity"))


def check_tolerations(tolerations: Iterable[Obj], field: str) -> list[Cause]:
    """Causes for a list of tolerations."""
    return [c for at, toleration in enumerate(tolerations) for c in _toleration(toleration, f"{field}[{at}]")]


def _toleration(toleration: Obj, field: str) -> Iterator[Cause]:
    operator, effect = toleration.get("operator") or "", toleration.get("effect")
    key, value = toleration.get("key"), toleration.get("value") or ""
    if key:
        yield from (causes.invalid(f"{field}.key", key, c) for c in names.qualified_name(key))
    elif operator != "Exists":
        told = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield causes.invalid(f"{field}.operator", operator, told)
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        told = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        yield causes.invalid(f"{field}.effect", effect or "", told)
    if operator in ("", "Equal"):
        if complaints := names.label_value(value):
            yield causes.invalid(f"{field}.operator", value, ";".join(complaints))
    elif operator != "Exists":
        yield causes.not_supported(f"{field}.operator", operator, ("Equal", "Exists"))
    elif value:
        yield causes.invalid(f"{field}.operator", value, "value must be empty when `operator` is 'Exists'")
    if effect and effect not in _EFFECTS:
        yield causes.not_supported(f"{field}.effect", effect, _EFFECTS)


# ----- spreading


def _spread(constraint: Obj, field: str) -> Iterator[Cause]:
    skew, action = constraint.get("maxSkew") or 0, constraint.get("whenUnsatisfiable") or ""
    if skew <= 0:
        yield causes.invalid(f"{field}.maxSkew", skew, "must be greater than zero")
    if not constraint.get("topologyKey"):
        yield causes.required(f"{field}.topologyKey", "can not be empty")
    if action not in _UNSATISFIABLE:
        yield causes.not_supported(f"{field}.whenUnsatisfiable", action, _UNSATISFIABLE)
    domains = constraint.get("minDomains")
    if domains is not None and domains <= 0:
        yield causes.invalid(f"{field}.minDomains", domains, "must be greater than zero")
    if domains is not None and action != "DoNotSchedule":
        told = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        yield causes.invalid(f"{field}.minDomains", domains, told)
    for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        if (policy := constraint.get(name)) is not None and policy not in _INCLUSION:
            yield causes.not_supported(f"{field}.{name}", policy, _INCLUSION)
    yield from check_label_selector(constraint.get("labelSelector"), f"{field}.labelSelector")
    yield from _label_keys(constraint, "matchLabelKeys", field)


def _spread_twice(constraint: Obj, others: Iterable[Obj], field: str) -> Iterator[Cause]:
    def pair(of: Obj) -> tuple[str, str]:
        return of.get("topologyKey") or "", of.get("whenUnsatisfiable") or ""

    if any(pair(other) == pair(constraint) for other in others):
        where = f"{field}.{{topologyKey, whenUnsatisfiable}}"
        yield causes.duplicate(where, f"{{{', '.join(pair(constraint))}}}")


def _label_keys(term: Obj, name: str, field: str) -> Iterator[Cause]:
    """Keys whose values the pod's own labels add to a selector, which has to be there."""
    keys = term.get(name) or ()
    if keys and term.get("labelSelector") is None:
        yield causes.forbidden(f"{field}.{name}", "must not be specified when labelSelector is not set")
        return
    for at, key in enumerate(keys):
        yield from (causes.invalid(f"{field}.{name}[{at}]", key, c) for c in names.qualified_name(key))


# ----- affinity


def _affinity(affinity: Obj, field: str) -> Iterator[Cause]:
    node = affinity.get("nodeAffinity") or {}
    where = f"{field}.nodeAffinity"
    if _REQUIRED in node:
        yield from check_node_selector(node[_REQUIRED], f"{where}.{_REQUIRED}")
    for at, term in enumerate(node.get(_PREFERRED) or ()):
        spot = f"{where}.{_PREFERRED}[{at}]"
        yield from _weight(term, spot)
        yield from _node_term(term.get("preference") or {}, f"{spot}.preference")
    for name in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(name) or {}
        for at, term in enumerate(rules.get(_REQUIRED) or ()):
            yield from _pod_term(term, f"{field}.{name}.{_REQUIRED}[{at}]")
        for at, weighted in enumerate(rules.get(_PREFERRED) or ()):
            spot = f"{field}.{name}.{_PREFERRED}[{at}]"
            yield from _weight(weighted, spot)
            yield from _pod_term(weighted.get("podAffinityTerm") or {}, f"{spot}.podAffinityTerm")


def _weight(term: Obj, field: str) -> Iterator[Cause]:
    weight = term.get("weight") or 0
    if not 1 <= weight <= 100:
        yield causes.invalid(f"{field}.weight", weight, "must be in the range 1-100")


def _pod_term(term: Obj, field: str) -> Iterator[Cause]:
    yield from check_label_selector(term.get("labelSelector"), f"{field}.labelSelector")
    yield from check_label_selector(term.get("namespaceSelector"), f"{field}.namespaceSelector")
    for namespace in term.get("namespaces") or ():
        yield from (causes.invalid(f"{field}.namespace", namespace, c) for c in names.dns_label(namespace))
    for name in ("matchLabelKeys", "mismatchLabelKeys"):
        yield from _label_keys(term, name, field)
    key = term.get("topologyKey") or ""
    if not key:
        yield causes.required(f"{field}.topologyKey", "can not be empty")
    yield from (causes.invalid(f"{field}.topologyKey", key, c) for c in names.qualified_name(key))


def check_node_selector(selector: Obj, field: str) -> list[Cause]:
    """Causes for a v1.NodeSelector, which needs at least one term."""
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        return [causes.required(f"{field}.nodeSelectorTerms", "must have at least one node selector term")]
    return [c for at, t in enumerate(terms) for c in _node_term(t, f"{field}.nodeSelectorTerms[{at}]")]


def _node_term(term: Obj, field: str) -> Iterator[Cause]:
    for at, expression in enumerate(term.get("matchExpressions") or ()):
        yield from check_expression(expression, f"{field}.matchExpressions[{at}]", _NODE_OPERATORS)
    for at, requirement in enumerate(term.get("matchFields") or ()):
        yield from _node_field(requirement, f"{field}.matchFields[{at}]")


def _node_field(requirement: Obj, field: str) -> Iterator[Cause]:
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    if operator not in ("In", "NotIn"):
        yield causes.invalid(f"{field}.operator", operator, "not a valid selector operator")
    elif len(values) != 1:
        told = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield causes.required(f"{field}.values", told)
    key = requirement.get("key") or ""
    if key != "metadata.name":
        yield causes.invalid(f"{field}.key", key, "not a valid field selector key")
        return
    for at, value in enumerate(values):
        yield from (causes.invalid(f"{field}.values[{at}]", value, c) for c in names.dns_subdomain(value))
