"""Where the node keeps volumes: the paths that every tool for Kubernetes nodes knows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CSI = "kubernetes.io/csi"
LOCAL = "kubernetes.io/local-volume"


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below the agent's root directory (``/var/lib/kubelet``)."""

    root: Path

    def pod(self, uid: str) -> Path:
        """Everything of one pod."""
        return self.root / "pods" / uid

    def volumes(self, uid: str) -> Path:
        """The parent of the per-plug-in directories."""
        return self.pod(uid) / "volumes"

    def volume(self, uid: str, plugin: str, name: str) -> Path:
        """One volume; a slash in the plug-in's name becomes a tilde."""
        return self.volumes(uid) / plugin.replace("/", "~") / name

    def subpaths(self, uid: str) -> Path:
        """Bind mounts of ``subPath``s: ``VOLUME/CONTAINER/INDEX``."""
        return self.pod(uid) / "volume-subpaths"

    def devices(self, uid: str) -> Path:
        """Block volumes published to one pod."""
        return self.pod(uid) / "volumeDevices"

    def csi_staging(self, driver: str, handle: str) -> Path:
        """Where a CSI volume is staged, once for all pods of this node."""
        digest = hashlib.sha256(handle.encode()).hexdigest()
        return self.root / "plugins" / "kubernetes.io" / "csi" / driver / digest / "globalmount"

    def pod_uids(self) -> set[str]:
        """Pods that have volumes on this host, whoever set them up."""
        if not (self.root / "pods").is_dir():
            return set()
        kept = ("volumes", "volumeDevices", "volume-subpaths")
        return {d.name for d in (self.root / "pods").iterdir() if any((d / name).is_dir() for name in kept)}

    def csi_volumes(self) -> Iterator[Path]:
        """The directory of every CSI volume of every pod."""
        for uid in self.pod_uids():
            yield from self.csi_volumes_of(uid)

    def csi_volumes_of(self, uid: str) -> Iterator[Path]:
        """The directories of one pod's CSI volumes, file systems and devices."""
        for parent in (self.volumes(uid), self.devices(uid)):
            directory = parent / CSI.replace("/", "~")
            if directory.is_dir():
                yield from sorted(directory.iterdir())
