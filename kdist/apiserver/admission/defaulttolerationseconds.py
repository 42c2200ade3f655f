"""Pods stay five minutes on a node that went away, unless they say otherwise."""

from __future__ import annotations

from kdist.apiserver.admission.base import Plugin, Request, targets

SECONDS = 300
_KEYS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds(Plugin):
    """Adds the two NoExecute tolerations that a pod does not bring itself."""

    targets = targets("pods")

    async def admit(self, request: Request) -> None:
        """Add what is missing."""
        spec = request.body["spec"]
        tolerations = list(spec.get("tolerations") or ())
        own = {t.get("key") or "" for t in tolerations if t.get("effect") in (None, "", "NoExecute")}
        added = [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}
            for key in _KEYS
            if not own & {key, ""}
        ]
        if added:
            spec["tolerations"] = tolerations + added
