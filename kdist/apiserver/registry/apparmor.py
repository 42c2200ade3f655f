"""AppArmor profiles, which older clients say and read in annotations: a new pod has them in both places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.validation import causes

PREFIX = "container.apparmor.security.beta.kubernetes.io/"
_LOCAL = "localhost/"
_WORDS = {"RuntimeDefault": "runtime/default", "Unconfined": "unconfined"}
_TYPES = {word: kind for kind, word in _WORDS.items()}


def agree(pod: Obj) -> None:
    """Write profiles of fields into annotations, and of annotations into fields, in place."""
    spec = pod.get("spec") or {}
    if (spec.get("os") or {}).get("name") == "windows":
        return
    whole = (spec.get("securityContext") or {}).get("appArmorProfile")
    annotations: dict[str, Any] = pod["metadata"].get("annotations") or {}
    if whole is None and not annotations and not _any_profile(spec):
        return
    told: dict[str, str] = {}
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            key = PREFIX + (container.get("name") or "")
            profile = (container.get("securityContext") or {}).get("appArmorProfile") or whole
            if profile and key not in annotations:
                told[key] = _word(profile)
            elif not profile and (found := _profile(annotations.get(key, ""))):
                container.setdefault("securityContext", {})["appArmorProfile"] = found
    if any(told.values()):
        pod["metadata"]["annotations"] = {**annotations, **{k: v for k, v in told.items() if v}}


def check_update(new: dict[str, str], old: dict[str, str]) -> Iterator[Cause]:
    """Causes for annotations that changed: a running container keeps its profile."""
    for key in sorted({*new, *old}):
        if key.startswith(PREFIX) and new.get(key) != old.get(key):
            done = "add" if key not in old else "remove or update"
            yield causes.forbidden(f"metadata.annotations[{key}]", f"may not {done} AppArmor annotations")


def _any_profile(spec: Obj) -> bool:
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return any("appArmorProfile" in (c.get("securityContext") or {}) for c in containers)


def _word(profile: Obj) -> str:
    if profile.get("type") == "Localhost" and profile.get("localhostProfile"):
        return _LOCAL + str(profile["localhostProfile"])
    return _WORDS.get(profile.get("type") or "", "")


def _profile(word: str) -> Obj | None:
    if word.startswith(_LOCAL):
        return {"type": "Localhost", "localhostProfile": word.removeprefix(_LOCAL)}
    return {"type": _TYPES[word]} if word in _TYPES else None
