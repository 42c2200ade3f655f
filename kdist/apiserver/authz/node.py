"""The Node authorizer: an agent may do its work, and read only what its own pods refer to."""

from __future__ import annotations

from collections.abc import Callable

from kdist.apiserver.authz.attributes import NO_OPINION, Attributes, Decision
from kdist.apiserver.authz.nodegraph import NodeGraph
from kdist.apiserver.authz.rules import Rule
from kdist.apiserver.ports import Obj

LEASE_NAMESPACE = "kube-node-lease"
_READ = ("get", "list", "watch")


def _rule(groups: str, resources: str, *verbs: str) -> Rule:
    return Rule(frozenset(verbs), frozenset(groups.split(",")), frozenset(resources.split(",")))


# What every node may do as far as RBAC could say it; the checks below and NodeRestriction (admission) narrow it.
NODE_RULES: tuple[Rule, ...] = (
    _rule("authentication.k8s.io", "tokenreviews", "create"),
    _rule("authorization.k8s.io", "localsubjectaccessreviews,subjectaccessreviews", "create"),
    _rule("", "services", *_READ),
    _rule("", "nodes", "create", "update", "patch", *_READ),
    _rule("", "nodes/status,pods/status", "update", "patch"),
    _rule("", "pods", "create", "delete", *_READ),
    _rule("", "pods/eviction", "create"),
    _rule("", "endpoints", "get"),
    _rule("", "events", "create", "update", "patch"),
    _rule("certificates.k8s.io", "certificatesigningrequests", "create", *_READ),
    _rule("", "secrets,configmaps", *_READ),
    _rule("", "persistentvolumeclaims,persistentvolumes", "get"),
    _rule("", "persistentvolumeclaims/status", "get", "update", "patch"),
    _rule("", "serviceaccounts/token", "create"),
    _rule("coordination.k8s.io", "leases", "get", "create", "update", "patch", "delete"),
    _rule("storage.k8s.io", "csinodes", "get", "create", "update", "patch", "delete"),
    _rule("storage.k8s.io", "volumeattachments", "get"),
    _rule("storage.k8s.io", "csidrivers", *_READ),
    _rule("node.k8s.io", "runtimeclasses", *_READ),
)
_ALLOWED = Decision(allowed=True)
_OWN_VERBS = frozenset({"get", "create", "update", "patch", "delete"})
_LISTED_VERBS = "can only get, create, update, patch, or delete"


class NodeAuthorizer:
    """Has an opinion only about members of system:nodes."""

    def __init__(self, graph: NodeGraph) -> None:
        self._graph = graph
        get = self._get
        self._checks: dict[tuple[str, str], Callable[[str, Attributes], Decision]] = {
            ("", "secrets"): self._read_named,
            ("", "configmaps"): self._read_named,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): get,
            ("storage.k8s.io", "volumeattachments"): get,
            ("resource.k8s.io", "resourceclaims"): get,
            ("", "serviceaccounts"): self._token,
            ("coordination.k8s.io", "leases"): _lease,
            ("storage.k8s.io", "csinodes"): _csi_node,
            ("resource.k8s.io", "resourceslices"): self._slice,
            ("", "nodes"): _node,
            ("", "pods"): self._pod,
        }

    def authorize(self, attributes: Attributes) -> Decision:
        """Allow what the node needs; otherwise no opinion, with the reason."""
        node = attributes.user.node_name
        if node is None:
            return NO_OPINION
        check = self._checks.get((attributes.group, attributes.resource))
        if check is not None:
            return check(node, attributes)
        return _ALLOWED if any(rule.allows(attributes) for rule in NODE_RULES) else NO_OPINION

    def _related(self, node: str, attributes: Attributes) -> Decision:
        if not attributes.name:
            return Decision(reason="No Object name found")
        if attributes.resource == "pods":
            found = self._graph.has_pod(node, attributes.namespace, attributes.name)
        else:
            found = self._graph.reaches(node, attributes.resource, attributes.namespace, attributes.name)
        if found:
            return _ALLOWED
        return Decision(reason=f"no relationship found between node '{node}' and this object")

    def _get(self, node: str, attributes: Attributes) -> Decision:
        if attributes.verb != "get":
            return Decision(reason="can only get individual resources of this type")
        if attributes.subresource:
            return Decision(reason="cannot get subresource")
        return self._related(node, attributes)

    def _read_named(self, node: str, attributes: Attributes) -> Decision:
        """Secrets and config maps: read (and watched) one by one."""
        if attributes.verb not in _READ:
            return Decision(reason="can only read resources of this type")
        if attributes.subresource:
            return Decision(reason="cannot read subresource")
        if not attributes.namespace:
            return Decision(reason="can only read namespaced object of this type")
        return self._related(node, attributes)

    def _claim(self, node: str, attributes: Attributes) -> Decision:
        if attributes.subresource != "status":
            return self._get(node, attributes)
        if attributes.verb not in ("update", "patch"):
            return Decision(reason="can only get/update/patch this type")
        return self._related(node, attributes)

    def _token(self, node: str, attributes: Attributes) -> Decision:
        if attributes.verb != "create" or not attributes.name:
            return Decision(reason="can only create tokens for individual service accounts")
        if attributes.subresource != "token":
            return Decision(reason="can only create token subresource of serviceaccount")
        return self._related(node, attributes)

    def _slice(self, node: str, attributes: Attributes) -> Decision:
        """Resource slices: those with the node's name. None are served yet, so none is known to be its own."""
        if attributes.subresource:
            return Decision(reason="cannot authorize ResourceSlice subresources")
        if attributes.verb == "create":
            return _ALLOWED
        if attributes.verb in ("get", "update", "patch", "delete"):
            return self._related(node, attributes)
        if attributes.restrictions().has_field("spec.nodeName", node):
            return _ALLOWED
        return Decision(
            reason="can only list/watch/deletecollection resourceslices with nodeName field selector"
        )

    def _pod(self, node: str, attributes: Attributes) -> Decision:
        """Pods that are bound to the node, as far as the request says which ones it reads."""
        if attributes.subresource:
            verbs = {"status": ("update", "patch"), "eviction": ("create",)}.get(attributes.subresource, ())
            return _ALLOWED if attributes.verb in verbs else NO_OPINION
        if attributes.verb in ("create", "delete"):
            return _ALLOWED
        if attributes.verb == "get":
            return self._get(node, attributes)
        if attributes.verb not in ("list", "watch"):
            return NO_OPINION
        if attributes.restrictions().has_field("spec.nodeName", node):
            return _ALLOWED
        if attributes.name:
            return self._related(node, attributes)
        return Decision(reason="can only list/watch pods with spec.nodeName field selector")


def _node(node: str, attributes: Attributes) -> Decision:
    if attributes.subresource == "status":
        return _ALLOWED if attributes.verb in ("update", "patch") else NO_OPINION
    if attributes.subresource:
        return NO_OPINION
    if attributes.verb in ("create", "update", "patch"):
        return _ALLOWED
    if attributes.verb not in _READ:
        return NO_OPINION
    if attributes.name == node:
        return _ALLOWED
    what = f"'{attributes.name}'" if attributes.name else "all nodes"
    return Decision(reason=f"node '{node}' cannot read {what}, only its own Node object")


def _lease(node: str, attributes: Attributes) -> Decision:
    if attributes.verb not in _OWN_VERBS:
        return Decision(reason=f"{_LISTED_VERBS} a node lease")
    if attributes.namespace != LEASE_NAMESPACE:
        return Decision(reason=f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
    if attributes.verb != "create" and attributes.name != node:
        return Decision(reason="can only access node lease with the same name as the requesting node")
    return _ALLOWED


def _csi_node(node: str, attributes: Attributes) -> Decision:
    if attributes.verb not in _OWN_VERBS:
        return Decision(reason=f"{_LISTED_VERBS} a CSINode")
    if attributes.subresource:
        return Decision(reason="cannot authorize CSINode subresources")
    if attributes.verb != "create" and attributes.name != node:
        return Decision(reason="can only access CSINode with the same name as the requesting node")
    return _ALLOWED


def node_rules() -> list[Obj]:
    """The static rules in the API's form, for the system:node cluster role."""
    return [rule.as_api() for rule in NODE_RULES]
