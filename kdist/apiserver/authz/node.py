"""The Node authorizer: an agent may do its work, and read only what its own pods refer to."""

from __future__ import annotations

from kdist.apiserver.authz.attributes import NO_OPINION, Attributes, Decision
from kdist.apiserver.authz.nodegraph import NodeGraph
from kdist.apiserver.authz.rules import Rule
from kdist.apiserver.ports import Obj

LEASE_NAMESPACE = "kube-node-lease"
_READ = ("get", "list", "watch")


def _rule(groups: str, resources: str, *verbs: str) -> Rule:
    return Rule(frozenset(verbs), frozenset(groups.split(",")), frozenset(resources.split(",")))


# What every node may do whatever runs on it. NodeRestriction (admission) narrows the writes further.
NODE_RULES: tuple[Rule, ...] = (
    _rule("authentication.k8s.io", "tokenreviews", "create"),
    _rule("authorization.k8s.io", "localsubjectaccessreviews,subjectaccessreviews", "create"),
    _rule("", "services", *_READ),
    _rule("", "nodes", "create", "update", "patch", *_READ),
    _rule("", "nodes/status,pods/status", "update", "patch"),
    _rule("", "pods", "create", "delete", *_READ),
    _rule("", "pods/eviction", "create"),
    _rule("", "endpoints", "get"),
    _rule(",events.k8s.io", "events", "create", "update", "patch"),
    _rule("certificates.k8s.io", "certificatesigningrequests", "create", *_READ),
    _rule("certificates.k8s.io", "clustertrustbundles", *_READ),
    _rule("storage.k8s.io", "csidrivers", *_READ),
    _rule("node.k8s.io", "runtimeclasses", *_READ),
    _rule(
        "resource.k8s.io", "resourceslices", "create", "update", "patch", "delete", "deletecollection", *_READ
    ),
)
# Resources of which a node reads single objects, and only those its pods lead to.
_GRAPH: dict[tuple[str, str], frozenset[str]] = {
    ("", "secrets"): frozenset(_READ),
    ("", "configmaps"): frozenset(_READ),
    ("", "persistentvolumeclaims"): frozenset({"get"}),
    ("", "persistentvolumeclaims/status"): frozenset({"get", "update", "patch"}),
    ("", "persistentvolumes"): frozenset({"get"}),
    ("storage.k8s.io", "volumeattachments"): frozenset({"get"}),
    ("", "serviceaccounts/token"): frozenset({"create"}),
}
# Objects that carry the node's own name.
_OWN: dict[tuple[str, str], str] = {
    ("coordination.k8s.io", "leases"): LEASE_NAMESPACE,
    ("storage.k8s.io", "csinodes"): "",
}
_OWN_VERBS = frozenset({"get", "create", "update", "patch", "delete"})


# Reads of these are limited to the node's own: by name, by what is bound to it, by a field selector.
_CHECKED = frozenset({("", "pods"), ("", "nodes"), ("resource.k8s.io", "resourceslices")})
_LIMITED = frozenset({*_READ, "deletecollection"})


class NodeAuthorizer:
    """Has an opinion only about members of system:nodes."""

    def __init__(self, graph: NodeGraph) -> None:
        self._graph = graph

    def authorize(self, attributes: Attributes) -> Decision:
        """Allow what the node needs; otherwise no opinion, with the reason."""
        node = attributes.user.node_name
        if node is None:
            return NO_OPINION
        key = (attributes.group, attributes.full_resource)
        if key in _GRAPH:
            return self._related(node, attributes, _GRAPH[key])
        if key in _OWN:
            return _own(node, attributes, _OWN[key])
        if (attributes.group, attributes.resource) in _CHECKED:
            return self._checked(node, attributes)
        allowed = any(rule.allows(attributes) for rule in NODE_RULES)
        return Decision(allowed=True) if allowed else NO_OPINION

    def _checked(self, node: str, attributes: Attributes) -> Decision:
        """Pods, nodes and resource slices: reads only of what is the node's, as far as the request says."""
        if not any(rule.allows(attributes) for rule in NODE_RULES):
            return NO_OPINION
        if attributes.subresource or attributes.verb not in _LIMITED:
            return Decision(allowed=True)
        if attributes.resource == "nodes":
            return _own_node(node, attributes.name)
        if attributes.resource == "resourceslices":
            return self._slices(node, attributes)
        limited = attributes.verb != "get" and attributes.restrictions().has_field("spec.nodeName", node)
        if limited or (attributes.name and self._has_pod(node, attributes)):
            return Decision(allowed=True)
        if attributes.name:
            return Decision(reason=_unrelated(node))
        return Decision(reason="can only list/watch pods with spec.nodeName field selector")

    def _has_pod(self, node: str, attributes: Attributes) -> bool:
        return self._graph.has_pod(node, attributes.namespace, attributes.name)

    @staticmethod
    def _slices(node: str, attributes: Attributes) -> Decision:
        if attributes.verb == "get" or attributes.restrictions().has_field("spec.nodeName", node):
            return Decision(allowed=True)
        told = "can only list/watch/deletecollection resourceslices with nodeName field selector"
        return Decision(reason=told)

    def _related(self, node: str, attributes: Attributes, verbs: frozenset[str]) -> Decision:
        if attributes.verb not in verbs:
            return Decision(reason=f"can only {'/'.join(sorted(verbs))} resources of this type")
        if not attributes.name:
            return Decision(reason="No Object name found")
        if self._graph.reaches(node, attributes.resource, attributes.namespace, attributes.name):
            return Decision(allowed=True)
        return Decision(reason=_unrelated(node))


def _unrelated(node: str) -> str:
    return f"no relationship found between node '{node}' and this object"


def _own_node(node: str, name: str) -> Decision:
    if name == node:
        return Decision(allowed=True)
    what = f"'{name}'" if name else "all nodes"
    return Decision(reason=f"node '{node}' cannot read {what}, only its own Node object")


def _own(node: str, attributes: Attributes, namespace: str) -> Decision:
    if attributes.verb not in _OWN_VERBS:
        return Decision(reason=f"can only {'/'.join(sorted(_OWN_VERBS))} its own {attributes.resource}")
    if attributes.namespace != namespace:
        return Decision(reason=f"can only access {attributes.resource} in the namespace {namespace}")
    if attributes.name != node and not (attributes.verb == "create" and not attributes.name):
        return Decision(reason=f"can only access {attributes.resource} with the same name as the node")
    return Decision(allowed=True)


def node_rules() -> list[Obj]:
    """The static rules in the API's form, for the system:node cluster role."""
    return [rule.as_api() for rule in NODE_RULES]
