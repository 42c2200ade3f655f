"""Where a pod's files are on the host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdist.api import meta
from kdist.api.meta import Obj

LOGS = Path("/var/log/pods")
LINKS = Path("/var/log/containers")
# A file name is at most 255 bytes: NAME_NAMESPACE_CONTAINER-ID.log is cut before its id.
_MAX_LINK = 251


def log_directory(pod: Obj, logs: Path = LOGS) -> Path:
    """``/var/log/pods/NAMESPACE_NAME_UID``."""
    return logs / f"{meta.namespace(pod)}_{meta.name(pod)}_{meta.uid(pod)}"


def log_name(container: str, attempt: int) -> str:
    """The log's path below the pod's log directory."""
    return f"{container}/{attempt}.log"


def log_link(pod: Obj, container: str, container_id: str, links: Path = LINKS) -> Path:
    """The link under /var/log/containers that log collectors follow."""
    stem = f"{meta.name(pod)}_{meta.namespace(pod)}_{container}"
    return links / f"{stem[: _MAX_LINK - len(container_id)]}-{container_id}.log"


@dataclass(frozen=True, slots=True)
class PodPaths:
    """The directories below ``ROOT/pods/UID``."""

    root: Path
    uid: str

    @property
    def directory(self) -> Path:
        """Everything of this pod."""
        return self.root / "pods" / self.uid

    @property
    def hosts(self) -> Path:
        """The file mounted at /etc/hosts."""
        return self.directory / "etc-hosts"

    def messages(self, container: str) -> Path:
        """Where the termination messages of a container are."""
        return self.directory / "containers" / container
