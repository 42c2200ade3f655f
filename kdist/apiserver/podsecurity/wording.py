"""How findings are worded: clients and documentation quote these sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from kdist.api import meta, pods
from kdist.api.meta import Obj


class Finding(NamedTuple):
    """Why a pod is not allowed: ``reason (detail)``."""

    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


def quoted(names: Iterable[str]) -> str:
    """``"a", "b"``."""
    return ", ".join(f'"{name}"' for name in names)


def counted(noun: str, names: list[str]) -> str:
    """``volume "a"`` or ``volumes "a", "b"``."""
    return f"{noun if len(names) == 1 else noun + 's'} {quoted(names)}"


def setters(pod: bool, containers: list[str], glue: str = "and") -> str:
    """``pod and containers "a", "b"``: who set what they should not have."""
    parts = ["pod"] if pod else []
    if containers:
        parts.append(counted("container", containers))
    return f" {glue} ".join(parts)


def containers_where(pod: Obj, holds: Callable[[Obj], Any]) -> list[str]:
    """The names of the containers of all sorts for which something holds, init containers first."""
    return [c.get("name", "") for c in pods.containers(pod) if holds(c)]


def security(holder: Obj, path: str, default: Any = None) -> Any:
    """A value of the securityContext of a pod's spec or of a container."""
    return meta.get(holder, f"securityContext.{path}", default)


def is_windows(pod: Obj) -> bool:
    """Whether the pod says that it is for Windows nodes, where Linux' rules mean nothing."""
    return bool(meta.get(pod, "spec.os.name") == "windows")
