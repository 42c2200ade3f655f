"""New nodes take no pods until the node controller has seen them ready."""

from __future__ import annotations

from kdist.apiserver.admission.base import CREATE, Plugin, Request, targets

NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class TaintNodesByCondition(Plugin):
    """Taints a node at its creation: the condition that lifts the taint comes later."""

    targets = targets("nodes")
    operations = CREATE

    async def admit(self, request: Request) -> None:
        """Add the taint, once."""
        spec = request.body.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any((t.get("key"), t.get("effect")) == tuple(NOT_READY.values()) for t in taints):
            spec["taints"] = [*taints, dict(NOT_READY)]
