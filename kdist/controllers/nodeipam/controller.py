"""Gives every node its part of the cluster's pod ranges, for good: a node's range never changes.

A node of a cluster that has become dual-stack gets a range of the second family besides the one it has. Upstream
leaves such nodes as they are until their objects are deleted and made again.
"""

from __future__ import annotations

from kdist.api import meta
from kdist.api.errors import Invalid, NotFound
from kdist.api.kinds import NODES
from kdist.api.meta import Obj
from kdist.controllers.base import Controller
from kdist.controllers.nodeipam import plan


class NodeIpamController(Controller):
    """One key is one node. One worker: allocation is one decision after another."""

    name = "node-ipam-controller"
    component = "cidrAllocator"
    workers = 1

    def setup(self) -> None:
        """Learn what nodes have before anything is handed out (handlers run before the first key)."""
        s = self.settings
        clusters = s.cluster_cidr if s.allocate_node_cidrs else ()
        self._ranges = plan.ranges(clusters, s.node_cidr_mask_size, s.node_cidr_mask_size_ipv6)
        if self._ranges:
            self._nodes = self.watch(NODES, self._node_changed)

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            for ranges in self._ranges:
                ranges.release(meta.name(old or {}))
            return
        for cidr in meta.get(new, "spec.podCIDRs", ()):
            for ranges in self._ranges:
                ranges.occupy(cidr, meta.name(new))
        if self._missing(new):
            self.queue.add(meta.name(new))

    def _missing(self, node: Obj) -> list[plan.Ranges]:
        """Where the node has nothing of: everything, or the family that the cluster got later."""
        held = meta.get(node, "spec.podCIDRs", ()) or [c for c in (meta.get(node, "spec.podCIDR"),) if c]
        return plan.missing(self._ranges, held)

    async def reconcile(self, key: str) -> float | None:
        """Allocate once; what could not be written is free again."""
        node = self._nodes.get(key)
        if node is None or not (missing := self._missing(node)):
            return None
        try:
            added = [ranges.allocate(key) for ranges in missing]
        except plan.RangeExhausted as error:
            self._release(key, missing)
            self.events.event(node, "Warning", "CIDRNotAvailable", str(error))
            return 60.0
        held = meta.get(node, "spec.podCIDRs", ())
        cidrs = [*held, *added]
        body = {"spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs}}
        try:
            await self.client.patch(NODES, key, body, type="strategic")
        except (NotFound, Invalid):
            # Gone, or it got a range from elsewhere: the watch will tell. A server of an earlier release adds
            # no second family: it is asked again.
            self._release(key, missing)
            return 60.0 if held else None
        return None

    def _release(self, node: str, of: list[plan.Ranges]) -> None:
        for ranges in of:
            ranges.release(node)
