"""The baseline level: nothing that is known to give a pod power over its node.

Each rule gets the pod and the minor version of the policy, and tells what is wrong or None.
"""

from __future__ import annotations

from kdist.api import meta, pods
from kdist.api.meta import Obj
from kdist.apiserver.podsecurity.wording import (
    Finding,
    containers_where,
    counted,
    quoted,
    security,
    setters,
)

_CAPABILITIES = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip
_SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t"}
_APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD_ANNOTATION = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_ANNOTATION = "container.seccomp.security.alpha.kubernetes.io/"
# Sysctls that are namespaced and harmless, with the version that added them to the standard.
_SYSCTLS = {
    "kernel.shm_rmid_forced": 0,
    "net.ipv4.ip_local_port_range": 0,
    "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ping_group_range": 0,
    "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29,
    "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_rmem": 32,
    "net.ipv4.tcp_wmem": 32,
}
PROFILES = ("RuntimeDefault", "Localhost")


def apparmor(pod: Obj, minor: int) -> Finding | None:
    """AppArmor may not be switched off, neither in fields nor in the annotations before them."""

    def bad(holder: Obj) -> str:
        type: str = security(holder, "appArmorProfile.type", "")
        return type if type and type not in PROFILES else ""

    names = containers_where(pod, bad)
    annotated = sorted(
        f'{key}="{value}"'
        for key, value in meta.annotations(pod).items()
        if key.startswith(_APPARMOR_ANNOTATION)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    )
    own = bad(pod.get("spec") or {})
    values = [*sorted({own, *(bad(c) for c in pods.containers(pod))} - {""}), *annotated]
    if not values:
        return None
    who = [setters(bool(own), names)] if own or names else []
    who += ["annotation" + ("s" if len(annotated) > 1 else "")] if annotated else []
    reason = "forbidden AppArmor profile" + ("s" if len(values) > 1 else "")
    return Finding(reason, f"{' and '.join(who)} must not set AppArmor profile type to {quoted(values)}")


def capabilities(pod: Obj, minor: int) -> Finding | None:
    """Only what the runtime gives anyway may be added."""
    added: set[str] = set()

    def bad(container: Obj) -> bool:
        more = set(security(container, "capabilities.add", ())) - _CAPABILITIES
        added.update(more)
        return bool(more)

    if not (names := containers_where(pod, bad)):
        return None
    return Finding(
        "non-default capabilities",
        f"{counted('container', names)} must not include {quoted(sorted(added))} "
        "in securityContext.capabilities.add",
    )


def host_namespaces(pod: Obj, minor: int) -> Finding | None:
    """The node's network, processes and IPC are out of reach."""
    spec = pod.get("spec") or {}
    used = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return Finding("host namespaces", ", ".join(used)) if used else None


def host_path_volumes(pod: Obj, minor: int) -> Finding | None:
    """The node's files are out of reach."""
    names = [v["name"] for v in meta.get(pod, "spec.volumes", ()) if v.get("hostPath") is not None]
    return Finding("hostPath volumes", counted("volume", names)) if names else None


def host_ports(pod: Obj, minor: int) -> Finding | None:
    """No port of the node is taken."""

    def taken(container: Obj) -> list[str]:
        return [str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")]

    if not (names := containers_where(pod, taken)):
        return None
    ports = sorted({port for container in pods.containers(pod) for port in taken(container)})
    uses, noun = "uses" if len(names) == 1 else "use", "hostPort" if len(ports) == 1 else "hostPorts"
    return Finding("hostPort", f"{counted('container', names)} {uses} {noun} {', '.join(ports)}")


def privileged(pod: Obj, minor: int) -> Finding | None:
    """No container is privileged."""
    names = containers_where(pod, lambda c: security(c, "privileged"))
    if not names:
        return None
    return Finding(
        "privileged", f"{counted('container', names)} must not set securityContext.privileged=true"
    )


def proc_mount(pod: Obj, minor: int) -> Finding | None:
    """/proc stays masked."""

    def bad(container: Obj) -> bool:
        return bool(security(container, "procMount", "Default") != "Default")

    if not (names := containers_where(pod, bad)):
        return None
    types = sorted({security(c, "procMount") for c in pods.containers(pod) if bad(c)})
    return Finding(
        "procMount",
        f"{counted('container', names)} must not set securityContext.procMount to {quoted(types)}",
    )


def selinux(pod: Obj, minor: int) -> Finding | None:
    """SELinux types for containers only, the user and the role as the runtime chooses."""
    allowed = _SELINUX_TYPES | ({"container_engine_t"} if minor >= 31 else set())

    def options(holder: Obj) -> Obj:
        return security(holder, "seLinuxOptions") or {}

    def bad(holder: Obj) -> bool:
        found = options(holder)
        return found.get("type", "") not in allowed or bool(found.get("user")) or bool(found.get("role"))

    spec = pod.get("spec") or {}
    names = containers_where(pod, bad)
    if not names and not bad(spec):
        return None
    holders = [options(spec), *map(options, pods.containers(pod))]
    types = sorted({o["type"] for o in holders if o.get("type", "") not in allowed})
    wrong = [counted("type", types)] if types else []
    wrong += [f"{field} may not be set" for field in ("user", "role") if any(o.get(field) for o in holders)]
    who = setters(bad(spec), names)
    return Finding(
        "seLinuxOptions", f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(wrong)}"
    )


def seccomp(pod: Obj, minor: int) -> Finding | None:
    """Seccomp may not be switched off."""
    if minor < 19:
        return _annotated_seccomp(pod)

    def bad(holder: Obj) -> str:
        type: str = security(holder, "seccompProfile.type", "")
        return type if type and type not in PROFILES else ""

    own, names = bad(pod.get("spec") or {}), containers_where(pod, bad)
    values = sorted({own, *(bad(c) for c in pods.containers(pod))} - {""})
    if not values:
        return None
    who = setters(bool(own), names)
    return Finding(
        "seccompProfile", f"{who} must not set securityContext.seccompProfile.type to {quoted(values)}"
    )


def _annotated_seccomp(pod: Obj) -> Finding | None:
    told = {
        key: value
        for key, value in meta.annotations(pod).items()
        if key == _SECCOMP_POD_ANNOTATION or key.startswith(_SECCOMP_ANNOTATION)
    }
    allowed = ("runtime/default", "docker/default", "")
    bad = {k: v for k, v in told.items() if v not in allowed and not v.startswith("localhost/")}
    if not bad:
        return None
    return Finding("seccompProfile", f"forbidden annotations {quoted(f'{k}={v}' for k, v in bad.items())}")


def sysctls(pod: Obj, minor: int) -> Finding | None:
    """Only sysctls that concern nobody but the pod."""
    named = (s.get("name", "") for s in security(pod.get("spec") or {}, "sysctls", ()))
    bad = sorted({name for name in named if _SYSCTLS.get(name, minor + 1) > minor})
    return Finding("forbidden sysctls", ", ".join(bad)) if bad else None


def windows_host_process(pod: Obj, minor: int) -> Finding | None:
    """No Windows container runs as a process of its node."""

    def bad(holder: Obj) -> bool:
        return bool(security(holder, "windowsOptions.hostProcess"))

    own, names = bad(pod.get("spec") or {}), containers_where(pod, bad)
    if not own and not names:
        return None
    who = setters(own, names)
    return Finding("hostProcess", f"{who} must not set securityContext.windowsOptions.hostProcess=true")
