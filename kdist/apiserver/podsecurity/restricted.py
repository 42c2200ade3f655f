"""The restricted level: what hardened pods have to say of themselves.

Rules as in :mod:`kdist.apiserver.podsecurity.baseline`.
"""

from __future__ import annotations

from kdist.api import meta
from kdist.api.meta import Obj
from kdist.apiserver.podsecurity import baseline
from kdist.apiserver.podsecurity.wording import (
    Finding,
    containers_where,
    counted,
    is_windows,
    quoted,
    security,
    setters,
)

_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
# From this version on, rules about Linux leave pods for Windows alone.
_KNOWS_WINDOWS = 25


def _exempt(pod: Obj, minor: int) -> bool:
    return minor >= _KNOWS_WINDOWS and is_windows(pod)


def privilege_escalation(pod: Obj, minor: int) -> Finding | None:
    """Every container forgoes more privileges than it starts with."""
    if _exempt(pod, minor):
        return None
    names = containers_where(pod, lambda c: security(c, "allowPrivilegeEscalation") is not False)
    if not names:
        return None
    told = f"{counted('container', names)} must set securityContext.allowPrivilegeEscalation=false"
    return Finding("allowPrivilegeEscalation != false", told)


def capabilities(pod: Obj, minor: int) -> Finding | None:
    """Every container drops all capabilities, and takes back at most that for low ports."""
    if _exempt(pod, minor):
        return None
    keeping = containers_where(pod, lambda c: "ALL" not in security(c, "capabilities.drop", ()))
    added: set[str] = set()

    def adds(container: Obj) -> bool:
        more = set(security(container, "capabilities.add", ())) - {"NET_BIND_SERVICE"}
        added.update(more)
        return bool(more)

    adding = containers_where(pod, adds)
    told = []
    if keeping:
        told.append(f'{counted("container", keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        told.append(
            f"{counted('container', adding)} must not include {quoted(sorted(added))} "
            "in securityContext.capabilities.add"
        )
    return Finding("unrestricted capabilities", "; ".join(told)) if told else None


def volumes(pod: Obj, minor: int) -> Finding | None:
    """Only volumes that cannot reach the node or storage outside the cluster's control."""
    bad = {
        volume["name"]: next((kind for kind in volume if kind != "name"), "unknown")
        for volume in meta.get(pod, "spec.volumes", ())
        if not volume.keys() & _VOLUMES
    }
    if not bad:
        return None
    uses = "uses" if len(bad) == 1 else "use"
    told = counted("restricted volume type", sorted(set(bad.values())))
    return Finding("restricted volume types", f"{counted('volume', list(bad))} {uses} {told}")


def run_as_non_root(pod: Obj, minor: int) -> Finding | None:
    """Every container, or the pod for all of them, refuses to run as root."""
    own = security(pod.get("spec") or {}, "runAsNonRoot")
    wrong = containers_where(pod, lambda c: security(c, "runAsNonRoot") is False)
    reason = "runAsNonRoot != true"
    if wrong or own is False:
        return Finding(
            reason, f"{setters(own is False, wrong)} must not set securityContext.runAsNonRoot=false"
        )
    silent = containers_where(pod, lambda c: security(c, "runAsNonRoot") is None)
    if own or not silent:
        return None
    return Finding(
        reason, f"pod or {counted('container', silent)} must set securityContext.runAsNonRoot=true"
    )


def run_as_user(pod: Obj, minor: int) -> Finding | None:
    """Nobody asks to be root."""
    own = security(pod.get("spec") or {}, "runAsUser") == 0
    names = containers_where(pod, lambda c: security(c, "runAsUser") == 0)
    if not own and not names:
        return None
    return Finding("runAsUser=0", f"{setters(own, names)} must not set runAsUser=0")


def seccomp(pod: Obj, minor: int) -> Finding | None:
    """Every container, or the pod for all of them, chooses a seccomp profile."""
    if _exempt(pod, minor):
        return None
    if wrong := baseline.seccomp(pod, minor):
        return wrong
    if security(pod.get("spec") or {}, "seccompProfile.type"):
        return None
    silent = containers_where(pod, lambda c: not security(c, "seccompProfile.type"))
    if not silent:
        return None
    told = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Finding("seccompProfile", f"pod or {counted('container', silent)} {told}")
