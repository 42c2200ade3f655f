"""A ClusterRole with an aggregation rule has exactly the rules of the ClusterRoles that it selects."""

from __future__ import annotations

from kdist.api import meta, selectors
from kdist.api.errors import NotFound
from kdist.api.kinds import CLUSTER_ROLES
from kdist.api.meta import Obj
from kdist.controllers.base import Controller


def aggregated(role: Obj, roles: list[Obj]) -> list[Obj]:
    """The rules that the role should have, by the names of their origins, without repetition."""
    chosen = [
        selectors.from_label_selector(s) for s in meta.get(role, "aggregationRule.clusterRoleSelectors", ())
    ]
    rules: list[Obj] = []
    for other in sorted(roles, key=meta.name):
        if meta.name(other) != meta.name(role) and any(s.matches(meta.labels(other)) for s in chosen):
            rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules


class ClusterRoleAggregationController(Controller):
    """One key is one ClusterRole."""

    name = "clusterrole-aggregation-controller"

    def setup(self) -> None:
        """Any role may be a part of any aggregated one."""
        self._roles = self.watch(CLUSTER_ROLES, self._role_changed)

    def _role_changed(self, old: Obj | None, new: Obj | None) -> None:
        for role in self._roles.list():
            if role.get("aggregationRule"):
                self.queue.add(meta.key(role))

    async def reconcile(self, key: str) -> float | None:
        """Write the rules if they differ."""
        role = self._roles.get(key)
        if role is None or not role.get("aggregationRule") or meta.is_deleting(role):
            return None
        rules = aggregated(role, self._roles.list())
        if rules != (role.get("rules") or []):
            try:
                await self.client.update(CLUSTER_ROLES, {**role, "rules": rules})
            except NotFound:
                return None
        return None
