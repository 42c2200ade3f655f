"""PriorityClass names become numbers when a pod is created."""

from __future__ import annotations

from kdist.api import errors, meta
from kdist.api.kinds import PRIORITY_CLASSES
from kdist.apiserver.admission.base import Plugin, Request
from kdist.apiserver.ports import Obj, Reader, Writer

_CLASSES = ("scheduling.k8s.io", "priorityclasses")
_NO_CLASS: Obj = {"metadata": {"name": ""}, "value": 0, "preemptionPolicy": "PreemptLowerPriority"}


class Priority(Plugin):
    """Fills in priority and preemptionPolicy; keeps the global default unique."""

    targets = frozenset({("", "pods"), _CLASSES})

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader, self._writer = reader, writer

    async def admit(self, request: Request) -> None:
        """Resolve the class of a new pod. Forbidden when there is none, or the pod says another number."""
        if request.target == _CLASSES:
            return
        spec = request.body["spec"]
        if request.verb == "update":
            # Neither may change on update: what clients leave out is what it was.
            for field in ("priority", "preemptionPolicy"):
                if spec.get(field) is None and request.before["spec"].get(field) is not None:
                    spec[field] = request.before["spec"][field]
            return
        priority_class = await self._resolve(request, spec.get("priorityClassName") or "")
        value = priority_class["value"]
        policy = priority_class.get("preemptionPolicy") or "PreemptLowerPriority"
        _agree(request, "the integer value of priority", spec.get("priority"), value)
        _agree(request, "the string value of PreemptionPolicy", spec.get("preemptionPolicy"), policy)
        if meta.name(priority_class):
            spec["priorityClassName"] = meta.name(priority_class)
        spec["priority"], spec["preemptionPolicy"] = value, policy

    async def validate(self, request: Request) -> None:
        """Refuse a second global default."""
        if request.target != _CLASSES or not request.body.get("globalDefault"):
            return
        default = self._default()
        if default is not None and meta.name(default) != meta.name(request.body):
            raise request.forbidden(
                f"PriorityClass {meta.name(default)} is already marked as default. Only one default can exist"
            )

    def _default(self) -> Obj | None:
        defaults = [c for c in self._reader.list(PRIORITY_CLASSES) if c.get("globalDefault")]
        return min(defaults, key=lambda c: int(c["value"]), default=None)

    async def _resolve(self, request: Request, name: str) -> Obj:
        if not name:
            return self._default() or _NO_CLASS
        found = self._reader.get(PRIORITY_CLASSES, None, name)
        if found is not None:
            return found
        try:
            return await self._writer.get(PRIORITY_CLASSES, None, name)
        except errors.NotFound as error:
            raise request.forbidden(f"no PriorityClass with name {name} was found") from error


def _agree(request: Request, what: str, given: object, computed: object) -> None:
    if given is not None and given != computed:
        raise request.forbidden(
            f"{what} ({given}) must not be provided in pod spec; "
            f"priority admission controller computed {computed} from the given PriorityClass name"
        )
