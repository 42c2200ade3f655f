"""The plug-ins of the default profile, in the order in which a node is judged."""

from __future__ import annotations

from kdist.scheduler.cache import Cache
from kdist.scheduler.framework import Plugin
from kdist.scheduler.listers import Listers
from kdist.scheduler.plugins.balancedallocation import BalancedAllocation
from kdist.scheduler.plugins.imagelocality import ImageLocality
from kdist.scheduler.plugins.interpodaffinity import InterPodAffinity
from kdist.scheduler.plugins.nodeaffinity import NodeAffinity
from kdist.scheduler.plugins.nodename import NodeName
from kdist.scheduler.plugins.nodeports import NodePorts
from kdist.scheduler.plugins.nodeunschedulable import NodeUnschedulable
from kdist.scheduler.plugins.resourcesfit import ResourcesFit
from kdist.scheduler.plugins.tainttoleration import TaintToleration
from kdist.scheduler.plugins.topologyspread import TopologySpread
from kdist.scheduler.plugins.volumebinding import VolumeBinding
from kdist.scheduler.plugins.volumerestrictions import VolumeRestrictions
from kdist.scheduler.volumes import ClaimBinder


def default_plugins(cache: Cache, listers: Listers, binder: ClaimBinder | None = None) -> list[Plugin]:
    """All plug-ins. Without a binder, volumes are judged but never bound."""
    return [
        NodeUnschedulable(cache),
        NodeName(cache),
        TaintToleration(cache),
        NodeAffinity(cache),
        NodePorts(cache),
        ResourcesFit(cache),
        VolumeRestrictions(cache, listers),
        VolumeBinding(cache, listers, binder),
        TopologySpread(cache, listers),
        InterPodAffinity(cache, listers),
        BalancedAllocation(cache),
        ImageLocality(cache),
    ]
