"""Changes of the cluster, and which rejected pods they may help."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """``plugins``: whose rejections may not hold any more; None: anybody's."""

    name: str
    plugins: frozenset[str] | None = None

    def may_help(self, rejected_by: frozenset[str]) -> bool:
        """Whether pods that these plug-ins rejected should be tried again."""
        return self.plugins is None or not rejected_by or bool(self.plugins & rejected_by)


_NEIGHBOURS = frozenset({"InterPodAffinity", "PodTopologySpread"})
_VOLUMES = frozenset({"VolumeBinding", "VolumeRestrictions"})

NODE_ADD = ClusterEvent("NodeAdd")
NODE_CHANGE = ClusterEvent("NodeUpdate")
POD_PLACED = ClusterEvent("AssignedPodAdd", _NEIGHBOURS)
POD_CHANGE = ClusterEvent("AssignedPodUpdate", _NEIGHBOURS | {"NodeResourcesFit"})
POD_GONE = ClusterEvent(
    "AssignedPodDelete", _NEIGHBOURS | {"NodeResourcesFit", "NodePorts", "VolumeRestrictions"}
)
STORAGE_CHANGE = ClusterEvent("StorageChange", _VOLUMES)
NAMESPACE_CHANGE = ClusterEvent("NamespaceUpdate", frozenset({"InterPodAffinity"}))
BINDING_FAILED = ClusterEvent("BindingFailed", _NEIGHBOURS | _VOLUMES | {"NodeResourcesFit", "NodePorts"})
