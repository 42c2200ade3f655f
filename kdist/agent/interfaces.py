"""What the parts of the agent know of each other: volumes, the HTTP server on 10250 and the pod workers.

The pod side calls a :class:`VolumeManager` before a pod's containers start and after they are gone; the HTTP
server asks a :class:`Runtime` for pods, containers, logs, streams and statistics. Neither imports the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HostMount:
    """Where one volume of a pod is on the host.

    ``path`` is what containers mount (``subPath`` is resolved below it by the pod side). ``block`` marks a
    raw device for ``volumeDevices``. ``read_only`` holds for every container, whatever its mount says.
    """

    path: Path
    read_only: bool = False
    block: bool = False


class VolumeError(Exception):
    """A volume cannot be set up now; the text becomes a ``FailedMount`` event and mounting is retried."""


class VolumeManager(Protocol):
    """Sets up the volumes of pods on this host."""

    async def mount(self, pod: Obj) -> dict[str, HostMount]:
        """Make every volume of ``spec.volumes`` ready; idempotent. Raises :class:`VolumeError`."""
        ...

    async def refresh(self, pod: Obj) -> None:
        """Bring configMap, secret, projected and downwardAPI files up to date. Raises VolumeError."""
        ...

    async def unmount(self, pod_uid: str) -> None:
        """Take everything of that pod down; idempotent, also for pods of an earlier life of the agent."""
        ...

    def reconstruct(self) -> set[str]:
        """The uids of pods that have anything on this host, whoever set it up."""
        ...


class ContainerNotFound(LookupError):
    """No such pod or container on this node; the text says which."""


@dataclass(frozen=True, slots=True)
class ContainerRef:
    """One container as the runtime knows it. ``log_path`` is the file that the runtime writes."""

    id: str
    pod_uid: str
    namespace: str
    pod: str
    container: str
    log_path: Path
    running: bool
    tty: bool = False
    stdin: bool = False


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command in a container left behind."""

    exit_code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    """One container's use at ``time_ns`` (Unix nanoseconds); -1 where the runtime does not say."""

    name: str
    time_ns: int
    started_at_ns: int = 0
    cpu_ns: int = -1
    memory_usage: int = -1
    memory_working_set: int = -1
    memory_rss: int = -1
    page_faults: int = -1
    major_page_faults: int = -1
    fs_used_bytes: int = -1
    fs_inodes_used: int = -1


@dataclass(frozen=True, slots=True)
class PodUsage:
    """One pod's use: its containers, and the cgroup and network namespace it lives in."""

    namespace: str
    name: str
    uid: str
    containers: Sequence[ContainerUsage]
    cgroup_parent: str = ""
    network: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Interface name -> rx_bytes, tx_bytes, rx_errors, tx_errors; empty for host network."""


class Runtime(Protocol):
    """What the HTTP server needs of the pod side."""

    node_name: str

    def pods(self) -> list[Obj]:
        """Every pod bound to this node, static ones included, with its latest status."""
        ...

    def find_container(
        self, namespace: str, pod: str, container: str, *, uid: str = "", previous: bool = False
    ) -> ContainerRef:
        """The newest container of that name (``previous``: the one before). Raises ContainerNotFound."""
        ...

    def is_running(self, container_id: str) -> bool:
        """Whether that container still runs: a log that is followed ends when it does not."""
        ...

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        """The URL of the runtime's streaming server for this exec."""
        ...

    async def attach_url(
        self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        """The URL of the runtime's streaming server for this attach."""
        ...

    async def port_forward_url(self, namespace: str, pod: str, ports: Sequence[int], *, uid: str = "") -> str:
        """The URL of the runtime's streaming server to the pod's network. Raises ContainerNotFound."""
        ...

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        """Run a command to its end; TimeoutError when it takes longer than ``timeout`` seconds."""
        ...

    async def usage(self) -> list[PodUsage]:
        """Use of every running pod."""
        ...
