"""The chain of authorizers: system:masters first, then the configured modes in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from kdist.apiserver.authn.user import MASTERS, User
from kdist.apiserver.authz.attributes import NO_OPINION, Attributes, Decision, forbidden
from kdist.apiserver.authz.node import NodeAuthorizer
from kdist.apiserver.authz.nodegraph import NodeGraph
from kdist.apiserver.authz.rbac import RBAC
from kdist.apiserver.authz.rules import ALL, Rule
from kdist.apiserver.authz.webhook import FETCHED, Unasked, WebhookMode
from kdist.apiserver.ports import Reader

_EVERYTHING = frozenset({ALL})
T = TypeVar("T")


class Mode(Protocol):
    """One way to decide."""

    def authorize(self, attributes: Attributes) -> Decision:
        """Allow, deny, or have no opinion."""


class Authorizer:
    """Asks each mode in turn; the first that allows or denies wins, and silence is refusal.

    Modes are names (Node, RBAC, AlwaysAllow, AlwaysDeny) or webhooks. Decisions are made without waiting; where a
    webhook may have to be asked first, the code that needs them is run by :meth:`settle`.
    """

    def __init__(self, reader: Reader, modes: Sequence[str | WebhookMode] = ("Node", "RBAC")) -> None:
        self.rbac = RBAC(reader)
        self._local: dict[str, Mode] = {
            "RBAC": self.rbac,
            "Node": NodeAuthorizer(NodeGraph(reader)),
            "AlwaysAllow": _Always(Decision(allowed=True)),
            "AlwaysDeny": _Always(Decision(reason="Everything is forbidden.")),
        }
        self._chain: list[Mode] = []
        self.webhooks: tuple[WebhookMode, ...] = ()
        self.names: tuple[str, ...] = ()
        self.use(modes)

    def use(self, modes: Sequence[str | WebhookMode]) -> None:
        """Ask these modes from now on. ValueError for a name that is none."""
        unknown = {mode for mode in modes if isinstance(mode, str)} - set(self._local)
        if unknown:
            raise ValueError(f"unknown authorization modes: {', '.join(sorted(unknown))}")
        self._chain = [self._local[mode] if isinstance(mode, str) else mode for mode in modes]
        self.webhooks = tuple(mode for mode in modes if isinstance(mode, WebhookMode))
        self.names = tuple(mode for mode in modes if isinstance(mode, str))

    def authorize(self, attributes: Attributes) -> Decision:
        """Whether the request may go on, and why. Raises Unasked only with webhooks in the chain."""
        if MASTERS in attributes.user.groups:
            return Decision(allowed=True)
        reasons = []
        for mode in self._chain:
            decision = mode.authorize(attributes)
            if decision.allowed or decision.denied:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(reason=", ".join(reasons)) if reasons else NO_OPINION

    async def settle(self, question: Callable[..., T], *args: Any) -> T:
        """Run code that asks for decisions; what a webhook has to say first is fetched, and it runs again.

        The code must have no effect before its last decision.
        """
        if not self.webhooks:
            return question(*args)
        answers: dict[tuple[int, bytes], Decision] = {}
        token = FETCHED.set(answers)
        try:
            while True:
                try:
                    return question(*args)
                except Unasked as need:
                    answers[id(need.mode), need.key] = await need.mode.fetch(need.key, need.review)
        finally:
            FETCHED.reset(token)

    def require(self, attributes: Attributes) -> None:
        """Raise the Forbidden of a request that may not go on."""
        decision = self.authorize(attributes)
        if not decision.allowed:
            raise forbidden(attributes, decision.reason)

    def rules(self, user: User, namespace: str) -> list[Rule]:
        """Everything that roles let the user do in the namespace; more than that no list of rules can say."""
        bound = list(self.rbac.rules(user, namespace))
        if MASTERS in user.groups and not bound:  # they need no role
            return [Rule(_EVERYTHING, _EVERYTHING, _EVERYTHING), Rule(_EVERYTHING, urls=_EVERYTHING)]
        return bound

    def unresolved(self, user: User) -> tuple[str, ...]:
        """Why :meth:`rules` is not all, if it is not."""
        told = ["webhook authorizer does not support user rule resolution"] * len(self.webhooks)
        if "Node" in self.names and user.node_name is not None:
            told.append("node authorizer does not support user rule resolution")
        return tuple(told)


class _Always:
    def __init__(self, decision: Decision) -> None:
        self._decision = decision

    def authorize(self, attributes: Attributes) -> Decision:
        return self._decision
