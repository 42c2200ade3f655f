"""The chain of authorizers: system:masters, Node, RBAC."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from kdist.apiserver.authn.user import MASTERS, User
from kdist.apiserver.authz.attributes import Attributes, Decision, forbidden
from kdist.apiserver.authz.node import NODE_RULES, NodeAuthorizer
from kdist.apiserver.authz.nodegraph import NodeGraph
from kdist.apiserver.authz.rbac import RBAC
from kdist.apiserver.authz.rules import ALL, Rule
from kdist.apiserver.ports import Reader

_EVERYTHING = frozenset({ALL})


class Mode(Protocol):
    """One way to decide."""

    def authorize(self, attributes: Attributes) -> Decision:
        """Allow, deny, or have no opinion."""


class Authorizer:
    """Asks each mode in turn; the first that allows or denies wins, and silence is refusal."""

    def __init__(self, reader: Reader, modes: Iterable[str] = ("Node", "RBAC")) -> None:
        wanted = list(modes)
        unknown = set(wanted) - {"Node", "RBAC", "AlwaysAllow"}
        if unknown:
            raise ValueError(f"unknown authorization modes: {', '.join(sorted(unknown))}")
        self.rbac = RBAC(reader)
        chain: dict[str, Mode] = {"RBAC": self.rbac, "AlwaysAllow": _AlwaysAllow()}
        if "Node" in wanted:
            chain["Node"] = NodeAuthorizer(NodeGraph(reader))
        self._chain = [chain[mode] for mode in wanted]

    def authorize(self, attributes: Attributes) -> Decision:
        """Whether the request may go on, and why."""
        if MASTERS in attributes.user.groups:
            return Decision(allowed=True)
        reasons = []
        for mode in self._chain:
            decision = mode.authorize(attributes)
            if decision.allowed or decision.denied:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(reason=", ".join(reasons))

    def require(self, attributes: Attributes) -> None:
        """Raise the Forbidden of a request that may not go on."""
        decision = self.authorize(attributes)
        if not decision.allowed:
            raise forbidden(attributes, decision.reason)

    def rules(self, user: User, namespace: str) -> list[Rule]:
        """Everything the user may do in the namespace, for SelfSubjectRulesReview and escalation checks."""
        if MASTERS in user.groups:
            return [Rule(_EVERYTHING, _EVERYTHING, _EVERYTHING), Rule(_EVERYTHING, urls=_EVERYTHING)]
        held = list(self.rbac.rules(user, namespace))
        return [*held, *NODE_RULES] if user.node_name is not None else held


class _AlwaysAllow:
    def authorize(self, attributes: Attributes) -> Decision:
        return Decision(allowed=True)
