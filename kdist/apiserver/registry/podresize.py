"""The ``resize`` subresource of pods: other amounts of CPU and memory for containers that run.

Agents that can resize tell the resources of a running container in its status; where one does not, the server refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kdist.api import meta, pods, quantity
from kdist.api.errors import Cause
from kdist.api.features import Features
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import keep
from kdist.apiserver.registry.podannotations import MIRROR
from kdist.apiserver.validation import causes

_KINDS = ("containers", "initContainers")
_MUTABLE = ("cpu", "memory")


def take(spec: Obj, wanted: Obj, features: Features) -> None:
    """Write the resources and policies of ``wanted`` into ``spec``, in place; sidecars' from 1.33 on."""
    for kind in _KINDS if features.reached("1.33") else _KINDS[:1]:
        by_name = {c.get("name"): c for c in wanted.get(kind) or ()}
        for container in spec.get(kind) or ():
            if (asked := by_name.get(container.get("name"))) is None:
                continue
            if kind == "containers" or container.get("restartPolicy") == "Always":
                for field in ("resources", "resizePolicy"):
                    keep(container, asked, field)


def check(new: Obj, old: Obj, features: Features) -> list[Cause]:
    """Causes for resizing ``old`` to ``new``, whose spec is a valid one."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    for refused, told in (
        (_pod_level(spec) or _pod_level(before), "pods with pod-level resources cannot be resized"),
        (MIRROR in meta.annotations(old), "static pods cannot be resized"),
        ((before.get("os") or {}).get("name") == "windows", "windows pods cannot be resized"),
    ):
        if refused:
            return [causes.forbidden("[]", told)]
    found: list[Cause] = []
    qos = (old.get("status") or {}).get("qosClass") or pods.qos_class(old)
    if pods.qos_class(new) != qos:
        found.append(causes.invalid("spec", qos, "Pod QOS Class may not change as a result of resizing"))
    if not _supported(old):
        found.append(causes.forbidden("spec", "Pod running on node without support for resize"))
    for kind in _KINDS:
        pairs = zip(spec.get(kind) or (), before.get(kind) or (), strict=True)
        for at, (container, previous) in enumerate(pairs):
            where = f"spec.{kind}[{at}].resources"
            found += _check_removed(container, previous, where)
            if features.reached("1.33"):
                found += _check_memory(container, previous, where)
    if any(_fixed(one) != _fixed(other) for one, other in _resources(spec, before)):
        found.append(causes.forbidden("spec", "only cpu and memory resources are mutable"))
    return found


def _pod_level(spec: Obj) -> bool:
    resources = spec.get("resources") or {}
    return bool(resources.get("requests") or resources.get("limits"))


def _supported(pod: Obj) -> bool:
    """Whether the pod's agent resizes, as far as a running container tells."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if (status.get("state") or {}).get("running") is not None:
            return status.get("resources") is not None
    return True


def _check_removed(container: Obj, previous: Obj, field: str) -> Iterator[Cause]:
    new, old = container.get("resources") or {}, previous.get("resources") or {}
    for side in ("requests", "limits"):
        if (old.get(side) or {}).keys() - (new.get(side) or {}).keys():
            yield causes.forbidden(f"{field}.{side}", f"resource {side} cannot be removed")


def _check_memory(container: Obj, previous: Obj, field: str) -> Iterator[Cause]:
    """Memory that a process may have already is taken from it only by a restart."""
    policies = {p.get("resourceName"): p.get("restartPolicy") for p in container.get("resizePolicy") or ()}
    if policies.get("memory") == "RestartContainer":
        return
    limit, had = (
        ((c.get("resources") or {}).get("limits") or {}).get("memory") for c in (container, previous)
    )
    if limit is not None and had is not None and quantity.parse(limit) < quantity.parse(had):
        told = "memory limits cannot be decreased unless resizePolicy is RestartContainer"
        yield causes.forbidden(f"{field}.limits[memory]", told)


def _resources(spec: Obj, before: Obj) -> Iterator[tuple[Obj, Obj]]:
    for kind in _KINDS:
        for one, other in zip(spec.get(kind) or (), before.get(kind) or (), strict=True):
            yield one.get("resources") or {}, other.get("resources") or {}


def _fixed(resources: Obj) -> dict[str, Any]:
    """What of the resources no resize changes."""
    sides = {
        side: {name: amount for name, amount in (resources.get(side) or {}).items() if name not in _MUTABLE}
        for side in ("requests", "limits")
    }
    return {**sides, "claims": resources.get("claims") or []}
