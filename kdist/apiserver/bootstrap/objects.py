"""Everything that must exist in a cluster from its first moment."""

from __future__ import annotations

from kdist.api import meta
from kdist.api.kinds import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    NAMESPACES,
    PRIORITY_CLASSES,
    ROLE_BINDINGS,
    ROLES,
    Kind,
)
from kdist.api.selectors import from_label_selector
from kdist.apiserver.bootstrap.controllerroles import controller_bindings, controller_roles
from kdist.apiserver.bootstrap.systemroles import namespaced_roles, system_bindings, system_roles
from kdist.apiserver.bootstrap.userroles import user_roles
from kdist.apiserver.ports import Obj

_KINDS: dict[str, Kind] = {
    kind.kind: kind
    for kind in (
        NAMESPACES,
        CLUSTER_ROLES,
        CLUSTER_ROLE_BINDINGS,
        ROLES,
        ROLE_BINDINGS,
        PRIORITY_CLASSES,
    )
}


def kind_of(obj: Obj) -> Kind:
    """The coordinates of a default object."""
    return _KINDS[obj["kind"]]


def default_objects() -> list[Obj]:
    """In the order in which they can be created: namespaces before what is in them."""
    return [
        *(_namespace(n) for n in ("kube-system", "kube-public", "kube-node-lease", "default")),
        *_filled([*user_roles(), *system_roles(), *controller_roles()]),
        *system_bindings(),
        *controller_bindings(),
        *namespaced_roles(),
        _priority_class(
            "system-node-critical",
            2_000_001_000,
            "Pods a node cannot work without; they stay where they are.",
        ),
        _priority_class(
            "system-cluster-critical",
            2_000_000_000,
            "Pods the cluster cannot work without; any node will do.",
        ),
    ]


def _namespace(name: str) -> Obj:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _priority_class(name: str, value: int, description: str) -> Obj:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        "description": description,
    }


def _filled(roles: list[Obj]) -> list[Obj]:
    """Aggregated roles with their sum already in: they work before the aggregation controller runs."""
    return [
        {**role, "rules": aggregate(role, roles)} if "aggregationRule" in role else role for role in roles
    ]


def aggregate(role: Obj, roles: list[Obj]) -> list[Obj]:
    """The rules an aggregated role has: those of every role that its selectors find, recursively."""
    selectors = [from_label_selector(s) for s in role["aggregationRule"]["clusterRoleSelectors"]]
    rules: list[Obj] = []
    for other in sorted(roles, key=meta.name):
        if other is role or not any(s.matches(meta.labels(other)) for s in selectors):
            continue
        found = aggregate(other, roles) if "aggregationRule" in other else other["rules"]
        rules += [rule for rule in found if rule not in rules]
    return rules
