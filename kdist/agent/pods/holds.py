"""Which containers of a pod wait with their next start, and what the status says of them meanwhile.

State of one worker, with the clock given by the caller: starts that failed, restarts that back off, containers that
were stopped for their next version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kdist.agent.pods import plan as plans
from kdist.agent.pods import spec as specs
from kdist.agent.pods.actions import ActionError
from kdist.agent.pods.backoff import BackOff
from kdist.agent.pods.observed import Observed
from kdist.api import meta
from kdist.api.meta import Obj

# A container that could not be configured or created: what it lacks may have come meanwhile.
START_RETRY = 5.0


class Holds:
    """See the module's text. ``waiting`` is what the status tells, by container."""

    def __init__(self) -> None:
        self.waiting: dict[str, plans.Wait] = {}
        self._backoff = BackOff()
        # Containers whose last start failed: when to try again, and what the status says until one succeeds.
        self._held: dict[str, tuple[float, plans.Wait]] = {}
        # Containers stopped for their next version: the status tells of the change once it was made.
        self._replacing: set[str] = set()

    @property
    def replacing(self) -> bool:
        """Whether a container is away for its next version."""
        return bool(self._replacing)

    def left(self, pod: Obj, observed: Observed, now: float) -> dict[str, plans.Wait]:
        """What the containers that may not start yet wait for."""
        wait = {
            name: plans.Wait(end - now, held.reason, held.message)
            for name, (end, held) in self._held.items()
            if end > now
        }
        for container in specs.all_containers(pod):
            name = container["name"]
            run = observed.newest(name)
            if run is None or not run.ended or name in wait:
                continue
            key = _key(container)
            seconds = self._backoff.remaining(key, run.finished_at / 1e9, now)
            if seconds > 0:
                wait[name] = plans.Wait(seconds, "CrashLoopBackOff", self._crash_message(pod, name, key))
        return wait

    def _crash_message(self, pod: Obj, name: str, key: tuple[str, ...]) -> str:
        told = f"{meta.name(pod)}_{meta.namespace(pod)}({meta.uid(pod)})"
        delay = int(self._backoff.delay(key))
        text = f"{delay // 60}m{delay % 60}s" if delay >= 60 else f"{delay}s"
        return f"back-off {text} restarting failed container={name} pod={told}"

    def planned(self, starts: Iterable[str], waiting: Mapping[str, plans.Wait]) -> None:
        """A plan was made that starts some containers and has others wait."""
        retried = set(starts)
        self.waiting = {name: wait for name, (_, wait) in self._held.items() if name in retried}
        self.waiting.update(waiting)
        self._replacing &= retried

    def restarts(self, container: Obj, now: float) -> None:
        """A container that ran before is about to start."""
        self._backoff.advance(_key(container), now)

    def failed(self, error: ActionError, now: float) -> None:
        """A start came to nothing."""
        if error.container:
            seconds = error.retry_after or START_RETRY
            wait = plans.Wait(seconds, error.reason, error.message)
            self._held[error.container] = (now + seconds, wait)
            self.waiting[error.container] = wait

    def started(self, name: str) -> None:
        """A container runs."""
        self._held.pop(name, None)
        self.waiting.pop(name, None)

    def acted(self, action: plans.Action) -> None:
        """An action is done, whatever came of it."""
        if isinstance(action, plans.KillContainer) and action.replaced:
            self._replacing.add(action.name)
        elif isinstance(action, plans.StartContainer):
            self._replacing.discard(action.name)


def _key(container: Obj) -> tuple[str, ...]:
    return (container["name"], specs.container_hash(container))
