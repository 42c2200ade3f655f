"""Events and statuses of a node without an API: events go to the log, statuses to nobody."""

from __future__ import annotations

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.telemetry import log as telemetry

log = telemetry.get(__name__)


class LogRecorder:
    """A :class:`kdist.agent.pods.host.Recorder` that writes to the log."""

    def event(self, obj: Obj, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Log the event."""
        write = log.warning if type == "Warning" else log.info
        write(message, reason=reason, object=meta.key(obj), field=field_path)


class LocalPublisher:
    """A :class:`kdist.agent.pods.host.Publisher` for nobody: the agent's own port shows the statuses."""

    def publish(self, pod: Obj) -> None:
        """Nothing to do."""

    def finish(self, pod: Obj) -> None:
        """Nothing to do."""
