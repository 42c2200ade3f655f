"""Which groups and versions are served: stable ones unless switched off, others only when switched on.

The operator's ``GROUP/VERSION[/RESOURCE]=true|false`` pairs (upstream's ``--runtime-config``), of which
``api/all``, ``api/ga``, ``api/beta`` and ``api/alpha`` stand for many; what is named more exactly wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from kdist.api.resources import Resource

_GA = re.compile(r"v\d+")
_STAGES: dict[str, Callable[[str], bool]] = {
    "api/all": lambda version: True,
    "api/ga": lambda version: bool(_GA.fullmatch(version)),
    "api/beta": lambda version: "beta" in version,
    "api/alpha": lambda version: "alpha" in version,
}
#: What the API server cannot work without, its own admission plug-ins and start objects included.
_NEEDED = frozenset(
    {
        "v1",
        "policy/v1",
        "admissionregistration.k8s.io/v1",
        "apiextensions.k8s.io/v1",
        "apiregistration.k8s.io/v1",
        "authentication.k8s.io/v1",
        "authorization.k8s.io/v1",
        "certificates.k8s.io/v1",
        "coordination.k8s.io/v1",
        "discovery.k8s.io/v1",
        "flowcontrol.apiserver.k8s.io/v1",
        "networking.k8s.io/v1",
        "node.k8s.io/v1",
        "rbac.authorization.k8s.io/v1",
        "scheduling.k8s.io/v1",
        "storage.k8s.io/v1",
    }
)


class Enabled:
    """Says of a resource whether the configuration serves it."""

    def __init__(self, switched: dict[str, bool]) -> None:
        self._switched = switched

    @classmethod
    def parse(cls, pairs: Iterable[str], rows: Iterable[Resource]) -> Enabled:
        """From ``KEY=true|false`` texts. Raises ValueError that names the key and what is wrong with it."""
        known = {row.api_version for row in rows} | {f"{row.api_version}/{row.plural}" for row in rows}
        switched: dict[str, bool] = {}
        for pair in pairs:
            key, equals, text = (part.strip() for part in pair.partition("="))
            value = (text or ("" if equals else "true")).lower()
            if value not in ("true", "false"):
                raise ValueError(f"runtime-config {key}: {text!r} is neither true nor false")
            key = "v1" if key == "api/v1" else key  # the core group has both names
            if key not in _STAGES and key not in known:
                raise ValueError(f"runtime-config {key}: this server has no such group, version or resource")
            if value == "false" and "/".join(key.split("/")[: 1 if key.startswith("v1") else 2]) in _NEEDED:
                raise ValueError(f"runtime-config {key}: the API server itself needs it")
            switched[key] = value == "true"
        return cls(switched)

    def __call__(self, resource: Resource) -> bool:
        """Whether the resource is served."""
        version = resource.api_version
        if version in _NEEDED:
            return True
        for key in (f"{version}/{resource.plural}", version):
            if key in self._switched:
                return self._switched[key]
        for key in ("api/alpha", "api/beta", "api/ga", "api/all"):
            if key in self._switched and _STAGES[key](resource.version):
                return self._switched[key]
        return bool(_GA.fullmatch(resource.version))
