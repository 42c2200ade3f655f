"""What the runtime has of one pod, as immutable records; built from CRI messages by :mod:`.cache`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path


class State(Enum):
    """A container's state. UNKNOWN: the runtime lost it, as after a crash of the host."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A pod sandbox. ``ips`` is empty for host network."""

    id: str
    attempt: int
    ready: bool
    created_at: int
    ips: tuple[str, ...] = ()
    source: str = ""
    grace_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """One run of a container. Times are Unix nanoseconds, 0 when not yet; ``attempt`` is the restart count."""

    id: str
    name: str
    sandbox_id: str
    state: State
    attempt: int = 0
    hash: str = ""
    image: str = ""
    image_id: str = ""
    created_at: int = 0
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    log_path: Path = Path()
    grace_seconds: int | None = None

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self.state is State.RUNNING

    @property
    def ended(self) -> bool:
        """Whether it will never run again."""
        return self.state in (State.EXITED, State.UNKNOWN)

    @property
    def succeeded(self) -> bool:
        """Whether it ended with exit code 0."""
        return self.state is State.EXITED and self.exit_code == 0


@dataclass(frozen=True, slots=True)
class Observed:
    """Sandboxes and containers of one pod, newest first."""

    uid: str
    namespace: str = ""
    name: str = ""
    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = field(default=())

    @property
    def sandbox(self) -> Sandbox | None:
        """The newest sandbox."""
        return self.sandboxes[0] if self.sandboxes else None

    def newest(self, name: str) -> Container | None:
        """The newest run of a container."""
        return next((c for c in self.containers if c.name == name), None)

    def runs(self, name: str) -> tuple[Container, ...]:
        """Every run of a container that the runtime still has, newest first."""
        return tuple(c for c in self.containers if c.name == name)

    @property
    def running(self) -> tuple[Container, ...]:
        """Every container whose process runs."""
        return tuple(c for c in self.containers if c.running)

    @property
    def idle(self) -> bool:
        """Whether nothing of the pod runs any more."""
        return not self.running and not any(s.ready for s in self.sandboxes)
