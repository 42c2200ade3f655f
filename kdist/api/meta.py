"""Reading object metadata: the few things every component asks of every object.

Objects are plain dicts as they came over the wire; nothing here changes its argument.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from kdist.api.kinds import Kind

Obj = dict[str, Any]


def name(obj: Mapping[str, Any]) -> str:
    """metadata.name, or the empty string."""
    return str((obj.get("metadata") or {}).get("name") or "")


def namespace(obj: Mapping[str, Any]) -> str:
    """metadata.namespace, or the empty string for cluster-scoped objects."""
    return str((obj.get("metadata") or {}).get("namespace") or "")


def uid(obj: Mapping[str, Any]) -> str:
    """metadata.uid, or the empty string."""
    return str((obj.get("metadata") or {}).get("uid") or "")


def resource_version(obj: Mapping[str, Any]) -> str:
    """metadata.resourceVersion, or the empty string."""
    return str((obj.get("metadata") or {}).get("resourceVersion") or "")


def labels(obj: Mapping[str, Any]) -> dict[str, str]:
    """metadata.labels; empty when there are none."""
    return (obj.get("metadata") or {}).get("labels") or {}


def annotations(obj: Mapping[str, Any]) -> dict[str, str]:
    """metadata.annotations; empty when there are none."""
    return (obj.get("metadata") or {}).get("annotations") or {}


def key(obj: Mapping[str, Any]) -> str:
    """``namespace/name``, or ``name`` for cluster-scoped objects: the key of queues and stores."""
    space = namespace(obj)
    return f"{space}/{name(obj)}" if space else name(obj)


def split_key(text: str) -> tuple[str, str]:
    """(namespace, name) of a key; the namespace is empty for cluster-scoped objects."""
    space, _, rest = text.rpartition("/")
    return space, rest


def owner_ref(owner: Mapping[str, Any], kind: Kind, controller: bool = True) -> Obj:
    """The ownerReference that makes ``owner`` (of ``kind``) the owner of another object."""
    ref: Obj = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": name(owner),
        "uid": uid(owner),
    }
    if controller:
        ref.update(controller=True, blockOwnerDeletion=True)
    return ref


def controller_of(obj: Mapping[str, Any]) -> Obj | None:
    """The one ownerReference with controller=true, if any."""
    for ref in (obj.get("metadata") or {}).get("ownerReferences") or ():
        if ref.get("controller"):
            return dict(ref)
    return None


def is_deleting(obj: Mapping[str, Any]) -> bool:
    """Whether deletion was asked for and the object waits for its grace period or finalizers."""
    return bool((obj.get("metadata") or {}).get("deletionTimestamp"))


def now() -> str:
    """The current time as metav1.Time: RFC 3339, UTC, whole seconds."""
    return _second(int(time.time()))


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now_micro() -> str:
    """The current time as metav1.MicroTime, as in Leases and events."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """An aware datetime from metav1.Time or MicroTime. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def rfc3339(moment: datetime, *, micro: bool = False) -> str:
    """An aware datetime as metav1.Time or MicroTime writes it, years before 1000 with four digits too."""
    # Not strftime: what it makes of early years differs between C libraries.
    plain = moment.astimezone(UTC).replace(tzinfo=None)
    return plain.isoformat(timespec="microseconds" if micro else "seconds") + "Z"


def get(obj: Any, path: str, default: Any = None) -> Any:
    """The value at a dotted path; ``default`` when any step is missing or null."""
    for step in path.split("."):
        if not isinstance(obj, Mapping):
            return default
        obj = obj.get(step)
        if obj is None:
            return default
    return obj
