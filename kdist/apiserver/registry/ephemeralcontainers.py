"""The ``ephemeralcontainers`` subresource of pods: containers to look into a running pod, added and never changed."""

from __future__ import annotations

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import podcontainers
from kdist.apiserver.validation import causes

_FIELD = "spec.ephemeralContainers"
_NOT_THEIRS = ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle")


def check(spec: Obj, before: Obj) -> list[Cause]:
    """Causes for the ephemeral containers of a spec that had those of ``before``."""
    found = _kept(spec, before)
    volumes = {v.get("name") for v in spec.get("volumes") or ()}
    taken = {c.get("name") for kind in ("containers", "initContainers") for c in spec.get(kind) or ()}
    targets = set(taken)
    for at, container in enumerate(spec.get("ephemeralContainers") or ()):
        where, target = f"{_FIELD}[{at}]", container.get("targetContainerName")
        if target and target not in targets:
            found.append(causes.not_found(f"{where}.targetContainerName", target))
        found += podcontainers.check_container(container, where, volumes, spec)
        if container.get("name") in taken:
            found.append(causes.duplicate(f"{where}.name", container["name"]))
        taken.add(container.get("name"))
        for name in _NOT_THEIRS:
            if container.get(name):
                told = "cannot be set for an Ephemeral Container"
                found.append(causes.forbidden(f"{where}.{name}", told))
    return found


def _kept(spec: Obj, before: Obj) -> list[Cause]:
    """Those that are there stay as they are."""
    by_name = {c.get("name"): c for c in spec.get("ephemeralContainers") or ()}
    found: list[Cause] = []
    for container in before.get("ephemeralContainers") or ():
        name = container.get("name")
        if name not in by_name:
            told = f'existing ephemeral containers "{name}" may not be removed'
            found.append(causes.forbidden(_FIELD, told))
        elif by_name[name] != container:
            told = f'existing ephemeral containers "{name}" may not be changed'
            found.append(causes.forbidden(_FIELD, told))
    return found
