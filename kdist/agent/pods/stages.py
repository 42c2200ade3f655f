"""The stages of a pod's life on this node and when it moves on; drawn in docs/agent-states.md. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Stage(Enum):
    """Where in its life a pod is. It only ever moves forward."""

    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Signals:
    """What the worker sees at one look.

    ``stop``: deletion, eviction, a deadline, or the source dropped it. ``terminal``: its phase is final already.
    ``finished``: it has run to its end. ``idle``: neither containers nor a sandbox run. ``removed``: no source
    has it any more. ``clean``: the runtime has nothing of it.
    """

    stop: bool = False
    terminal: bool = False
    finished: bool = False
    idle: bool = False
    removed: bool = False
    clean: bool = False


def advance(stage: Stage, signals: Signals) -> Stage:
    """The stage after this look; a pod that is not to move stays."""
    match stage:
        case Stage.RUNNING if signals.stop or signals.terminal or signals.finished:
            return Stage.STOPPING
        case Stage.STOPPING if signals.idle:
            return Stage.STOPPED
        case Stage.STOPPED if signals.removed and signals.clean:
            return Stage.GONE
        case _:
            return stage
