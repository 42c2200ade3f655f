"""Pod affinity terms and topology spread constraints, parsed and hashable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kdist.api.meta import Obj
from kdist.api.selectors import LabelSelector, from_label_selector


@dataclass(frozen=True, slots=True)
class AffinityTerm:
    """Pods of some namespaces with some labels, in one topology domain."""

    topology_key: str
    selector: LabelSelector
    namespaces: frozenset[str]
    namespace_selector: LabelSelector | None

    def matches(self, namespace: str, labels: Mapping[str, str], namespace_labels: Mapping[str, str]) -> bool:
        """Whether a pod of that namespace with those labels is meant."""
        selected = self.namespace_selector is not None and self.namespace_selector.matches(namespace_labels)
        return (selected or namespace in self.namespaces) and self.selector.matches(labels)


def affinity_terms(
    terms: Iterable[Obj] | None, namespace: str, labels: Mapping[str, str]
) -> tuple[AffinityTerm, ...]:
    """The parsed terms of a pod of this namespace with these labels."""
    return tuple(_affinity_term(term, namespace, labels) for term in terms or ())


def _affinity_term(term: Obj, namespace: str, labels: Mapping[str, str]) -> AffinityTerm:
    names, selector = term.get("namespaces") or (), term.get("namespaceSelector")
    return AffinityTerm(
        topology_key=term["topologyKey"],
        selector=_with_label_keys(term, labels),
        namespaces=frozenset(names) if names or selector is not None else frozenset({namespace}),
        namespace_selector=None if selector is None else from_label_selector(selector),
    )


@dataclass(frozen=True, slots=True)
class SpreadConstraint:
    """How evenly pods with some labels lie over the domains of a topology key."""

    topology_key: str
    max_skew: int
    selector: LabelSelector
    hard: bool
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


def spread_constraints(
    constraints: Iterable[Obj] | None, labels: Mapping[str, str]
) -> tuple[SpreadConstraint, ...]:
    """The parsed constraints of a pod with these labels."""
    return tuple(
        SpreadConstraint(
            topology_key=c["topologyKey"],
            max_skew=c["maxSkew"],
            selector=_with_label_keys(c, labels),
            hard=c["whenUnsatisfiable"] == "DoNotSchedule",
            min_domains=c.get("minDomains") or 1,
            honor_affinity=(c.get("nodeAffinityPolicy") or "Honor") == "Honor",
            honor_taints=c.get("nodeTaintsPolicy") == "Honor",
        )
        for c in constraints or ()
    )


def _with_label_keys(term: Obj, labels: Mapping[str, str]) -> LabelSelector:
    """The selector, narrowed to the pod's own values of matchLabelKeys and away from mismatchLabelKeys."""
    selector = term.get("labelSelector")
    narrowed = [
        {"key": key, "operator": operator, "values": [labels[key]]}
        for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))
        for key in term.get(field) or ()
        if key in labels
    ]
    if selector is None or not narrowed:
        return from_label_selector(selector)
    present = selector.get("matchExpressions") or []
    # The API server may have merged the keys into the selector already.
    added = [expression for expression in narrowed if expression not in present]
    return from_label_selector({**selector, "matchExpressions": [*present, *added]})
