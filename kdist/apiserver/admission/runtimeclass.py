"""A pod's runtime class brings its overhead, node selector and tolerations."""

from __future__ import annotations

from kdist.api import errors, meta, quantity
from kdist.api.kinds import Kind
from kdist.apiserver.admission.base import CREATE, Plugin, Request, targets
from kdist.apiserver.ports import Obj, Reader, Writer

RUNTIME_CLASSES = Kind("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", namespaced=False)


class RuntimeClass(Plugin):
    """Applies the class to new pods."""

    targets = targets("pods")
    operations = CREATE

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader, self._writer = reader, writer

    async def admit(self, request: Request) -> None:
        """Merge the class into the pod. Forbidden when there is no such class or the two disagree."""
        spec = request.body["spec"]
        name = spec.get("runtimeClassName")
        if not name:
            if spec.get("overhead"):
                raise request.forbidden(
                    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
                )
            return
        found = await self._class(request, name)
        _set_overhead(request, spec, meta.get(found, "overhead.podFixed", {}))
        _set_scheduling(request, spec, found.get("scheduling") or {})

    async def _class(self, request: Request, name: str) -> Obj:
        found = self._reader.get(RUNTIME_CLASSES, None, name)
        if found is not None:
            return found
        try:
            return await self._writer.get(RUNTIME_CLASSES, None, name)
        except errors.NotFound as error:
            raise request.forbidden(f'pod rejected: RuntimeClass "{name}" not found') from error


def _set_overhead(request: Request, spec: Obj, overhead: Obj) -> None:
    own = spec.get("overhead")
    if own and _amounts(own) != _amounts(overhead):
        raise request.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    if overhead:
        spec["overhead"] = dict(overhead)


def _amounts(overhead: Obj) -> dict[str, object]:
    return {resource: quantity.parse(text) for resource, text in overhead.items()}


def _set_scheduling(request: Request, spec: Obj, scheduling: Obj) -> None:
    selector, own = scheduling.get("nodeSelector") or {}, spec.get("nodeSelector") or {}
    for key, value in selector.items():
        if own.get(key, value) != value:
            told = f"runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own[key]}"
            raise request.forbidden(f"conflict: {told}")
    if selector:
        spec["nodeSelector"] = {**own, **selector}
    if added := scheduling.get("tolerations"):
        merged: list[Obj] = []
        for toleration in [*(spec.get("tolerations") or ()), *added]:
            if toleration not in merged:
                merged.append(dict(toleration))
        spec["tolerations"] = merged
