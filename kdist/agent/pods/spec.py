"""Questions about a pod's spec that several modules of the agent ask. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from kdist.agent.cri import labels
from kdist.api import meta
from kdist.api.meta import Obj

SYSTEM_CRITICAL = 2_000_000_000
DEFAULT_GRACE = 30


def spec(pod: Obj) -> Obj:
    """The pod's spec."""
    return pod.get("spec") or {}


def containers(pod: Obj) -> list[Obj]:
    """The app containers."""
    return spec(pod).get("containers") or []


def init_containers(pod: Obj) -> list[Obj]:
    """The init containers, sidecars among them."""
    return spec(pod).get("initContainers") or []


def ephemeral_containers(pod: Obj) -> list[Obj]:
    """The ephemeral containers."""
    return spec(pod).get("ephemeralContainers") or []


def all_containers(pod: Obj) -> Iterator[Obj]:
    """Init, app and ephemeral containers."""
    yield from init_containers(pod)
    yield from containers(pod)
    yield from ephemeral_containers(pod)


def find_container(pod: Obj, name: str) -> Obj | None:
    """The container of that name."""
    return next((c for c in all_containers(pod) if c["name"] == name), None)


def is_sidecar(container: Obj) -> bool:
    """Whether an init container keeps running beside the app containers."""
    return container.get("restartPolicy") == "Always"


def restart_policy(pod: Obj) -> str:
    """Always, OnFailure or Never."""
    return str(spec(pod).get("restartPolicy") or "Always")


def host_network(pod: Obj) -> bool:
    """Whether the pod shares the host's network."""
    return bool(spec(pod).get("hostNetwork"))


def source(pod: Obj) -> str:
    """``file`` for static pods, ``api`` for the rest."""
    return meta.annotations(pod).get(labels.CONFIG_SOURCE) or "api"


def is_static(pod: Obj) -> bool:
    """Whether the pod comes from a manifest on this host."""
    return source(pod) != "api"


def is_mirror(pod: Obj) -> bool:
    """Whether this API object only shows a static pod."""
    return labels.CONFIG_MIRROR in meta.annotations(pod)


def is_critical(pod: Obj) -> bool:
    """Whether the node must not do without this pod: static, or of a system priority."""
    return is_static(pod) or int(spec(pod).get("priority") or 0) >= SYSTEM_CRITICAL


def grace_seconds(pod: Obj) -> int:
    """How long containers may take to stop: of the deletion under way, else of the spec."""
    deletion = (pod.get("metadata") or {}).get("deletionGracePeriodSeconds")
    if deletion is not None:
        return int(deletion)
    wanted = spec(pod).get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE if wanted is None else int(wanted)


def container_hash(container: Obj) -> str:
    """Of what makes a running container obsolete when it changes: its name and image."""
    identity = {"name": container["name"], "image": container.get("image")}
    return hashlib.sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def rfc3339(nanoseconds: int) -> str | None:
    """A runtime's time as metav1.Time; None for "not yet"."""
    if nanoseconds <= 0:
        return None
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_since(text: str | None, now: float) -> float:
    """Seconds from a metav1.Time to ``now`` (Unix seconds); 0 without a time."""
    return now - meta.parse_time(text).timestamp() if text else 0.0


def reference(pod: Obj, container: str = "") -> dict[str, Any]:
    """A minimal object to record events on; ``fieldPath`` names the container."""
    ref: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {k: pod["metadata"][k] for k in ("name", "namespace", "uid") if k in pod["metadata"]},
    }
    if container:
        ref["fieldPath"] = f"spec.containers{{{container}}}"
    return ref
