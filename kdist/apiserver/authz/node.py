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
    _rule("resource.k8s.io", "resourceslices", "create", "update", "patch", "delete", *_READ),
)
# Resources of which a node reads single objects, and only those its pods lead to.
_GRAPH: dict[tuple[str, str], frozenset[str]] = {
    ("", "secrets"): frozenset(_READ),
    ("", "configmaps"): frozenset(_READ),
    ("", "persistentvolumeclaims"): frozenset({"get"}),
    ("", "persistentvolumeclaims/status"): frozenset({"get", "update", "patch"}),
    ("", "persistentvolumes"): frozenset({"get"}),
    ("storage.k8s.io", "volumeattachments"): frozenset({"get"}),
    ("", "serviceaccounts"): frozenset({"get"}),
    ("", "serviceaccounts/token"): frozenset({"create"}),
}
# Objects that carry the node's own name.
_OWN: dict[tuple[str, str], str] = {
    ("coordination.k8s.io", "leases"): LEASE_NAMESPACE,
    ("storage.k8s.io", "csinodes"): "",
}
_OWN_VERBS = frozenset({"get", "create", "update", "patch", "delete"})


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
        allowed = any(rule.allows(attributes) for rule in NODE_RULES)
        return Decision(allowed=True) if allowed else NO_OPINION

    def _related(self, node: str, attributes: Attributes, verbs: frozenset[str]) -> Decision:
        if attributes.verb not in verbs:
            return Decision(reason=f"can only {'/'.join(sorted(verbs))} resources of this type")
        if not attributes.name:
            return Decision(reason="No Object name found")
        if self._graph.reaches(node, attributes.resource, attributes.namespace, attributes.name):
            return Decision(allowed=True)
        return Decision(reason=f"no relationship found between node '{node}' and this object")


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
