"""The status of pods: fields that say the same twice, what may not be written, what goes with its feature."""

from __future__ import annotations

from collections.abc import Iterator

from kdist.api.errors import Cause
from kdist.api.features import Features
from kdist.api.meta import Obj
from kdist.apiserver.registry.podcheck import ip_address
from kdist.apiserver.validation import causes, names

_LISTS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


def agree(status: Obj) -> None:
    """Make ``podIP`` and the first of ``podIPs`` the same, in place; the single field counts."""
    single, several = status.get("podIP") or "", status.get("podIPs") or []
    first = (several[0].get("ip") or "") if several else ""
    if single and first != single:
        status["podIPs"] = [{"ip": single}]
    elif several and not single:
        status["podIP"] = first


def drop_disabled(status: Obj, spec: Obj, features: Features) -> None:
    """Take out, in place, what agents with other features wrote and ``spec`` does not ask for.

    A write of the pod itself does this, as upstream's; a write of the status keeps it.
    """
    fields = ["allocatedResources", "allocatedResourcesStatus"]  # of features that no level switches on
    if not features("InPlacePodVerticalScaling") and not _any(spec, "resizePolicy"):
        fields.append("resources")
        status.pop("resize", None)
    policy = (spec.get("securityContext") or {}).get("supplementalGroupsPolicy")
    if not features("SupplementalGroupsPolicy") and not policy:
        fields.append("user")
    for name in _LISTS:
        for container in status.get(name) or ():
            for field in fields:
                container.pop(field, None)


def _any(spec: Obj, field: str) -> bool:
    return any(container.get(field) for kind in _CONTAINERS for container in spec.get(kind) or ())


def check(status: Obj, field: str) -> Iterator[Cause]:
    """Causes for the addresses and conditions of a pod's status."""
    for name in ("podIPs", "hostIPs"):
        for at, address in enumerate(status.get(name) or ()):
            yield from ip_address(address.get("ip") or "", f"{field}.{name}[{at}]")
    hosts = status.get("hostIPs") or []
    if hosts and (hosts[0].get("ip") or "") != (status.get("hostIP") or ""):
        where = f"{field}.hostIPs[0].ip"
        yield causes.invalid(where, hosts[0].get("ip") or "", "must be equal to `hostIP`")
    for at, condition in enumerate(status.get("conditions") or ()):
        kind = condition.get("type") or ""
        where = f"metadata.conditions[{at}].Type"
        yield from (causes.invalid(where, kind, c) for c in names.qualified_name(kind))
