"""Security contexts of pods and containers as the runtime takes them. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kdist.agent.cri import cri_pb2 as pb
from kdist.agent.pods import spec as specs
from kdist.agent.pods.env import ConfigError
from kdist.api.meta import Obj

# What the proc file system hides from, or shows read-only to, containers with procMount Default.
MASKED = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def pod_context(pod: Obj) -> Obj:
    """spec.securityContext."""
    return specs.spec(pod).get("securityContext") or {}


def effective(pod: Obj, container: Obj) -> Obj:
    """The container's securityContext with what it inherits from the pod's."""
    own = container.get("securityContext") or {}
    inherited = (
        "runAsUser",
        "runAsGroup",
        "runAsNonRoot",
        "seccompProfile",
        "appArmorProfile",
        "seLinuxOptions",
    )
    base = {k: v for k, v in pod_context(pod).items() if k in inherited}
    return {**base, **{k: v for k, v in own.items() if v is not None}}


def namespaces(pod: Obj) -> pb.NamespaceOption:
    """Which namespaces are the host's, the pod's or each container's own."""
    spec = specs.spec(pod)
    pid = pb.POD if spec.get("shareProcessNamespace") else pb.CONTAINER
    return pb.NamespaceOption(
        network=pb.NODE if spec.get("hostNetwork") else pb.POD,
        pid=pb.NODE if spec.get("hostPID") else pid,
        ipc=pb.NODE if spec.get("hostIPC") else pb.POD,
    )


def supplemental_groups(pod: Obj) -> list[int]:
    """supplementalGroups and fsGroup."""
    context = pod_context(pod)
    groups = list(context.get("supplementalGroups") or ())
    fs_group = context.get("fsGroup")
    return groups if fs_group is None else [fs_group, *groups]


def sandbox_context(pod: Obj) -> pb.LinuxSandboxSecurityContext:
    """The sandbox's context: the pod's users and namespaces, privileged if any container is."""
    context = pod_context(pod)
    return pb.LinuxSandboxSecurityContext(
        namespace_options=namespaces(pod),
        run_as_user=_int(context.get("runAsUser")),
        # The runtime takes a group only beside a user.
        run_as_group=_int(context.get("runAsGroup") if context.get("runAsUser") is not None else None),
        supplemental_groups=supplemental_groups(pod),
        privileged=any(_privileged(c) for c in specs.all_containers(pod)),
        seccomp=pb.SecurityProfile(profile_type=pb.SecurityProfile.RuntimeDefault),
    )


def _privileged(container: Obj) -> bool:
    return bool((container.get("securityContext") or {}).get("privileged"))


def container_context(
    pod: Obj, container: Obj, image: pb.Image, seccomp_root: Path, target_id: str = ""
) -> pb.LinuxContainerSecurityContext:
    """The container's context; ``target_id`` is whose processes an ephemeral container sees."""
    context = effective(pod, container)
    check_non_root(context, image)
    capabilities = context.get("capabilities") or {}
    unmasked = context.get("procMount") == "Unmasked" or context.get("privileged")
    options = namespaces(pod)
    if target_id:
        options.pid, options.target_id = pb.TARGET, target_id
    result = pb.LinuxContainerSecurityContext(
        capabilities=pb.Capability(
            add_capabilities=capabilities.get("add"), drop_capabilities=capabilities.get("drop")
        ),
        privileged=bool(context.get("privileged")),
        namespace_options=options,
        run_as_group=_int(context.get("runAsGroup")),
        readonly_rootfs=bool(context.get("readOnlyRootFilesystem")),
        supplemental_groups=supplemental_groups(pod),
        no_new_privs=context.get("allowPrivilegeEscalation") is False,
        masked_paths=() if unmasked else MASKED,
        readonly_paths=() if unmasked else READ_ONLY,
        seccomp=_profile(context.get("seccompProfile"), context, seccomp_root),
        selinux_options=_selinux(context.get("seLinuxOptions")),
    )
    if context.get("appArmorProfile"):
        result.apparmor.CopyFrom(_profile(context["appArmorProfile"], context, Path()))
    if context.get("runAsUser") is not None:
        result.run_as_user.value = context["runAsUser"]
    elif image.username:
        result.run_as_username = image.username
    else:
        result.run_as_user.value = image.uid.value
    return result


def check_non_root(context: Obj, image: pb.Image) -> None:
    """Hold runAsNonRoot. Raises ConfigError."""
    if not context.get("runAsNonRoot"):
        return
    user = context.get("runAsUser")
    if user is not None:
        if user == 0:
            raise ConfigError("container's runAsUser breaks non-root policy")
    elif image.username:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image.username}), "
            "cannot verify user is non-root"
        )
    elif image.uid.value == 0:
        raise ConfigError("container has runAsNonRoot and image will run as root")


def _profile(profile: Obj | None, context: Obj, root: Path) -> pb.SecurityProfile:
    kind = (profile or {}).get("type") or "Unconfined"
    if context.get("privileged") or kind == "Unconfined":
        return pb.SecurityProfile(profile_type=pb.SecurityProfile.Unconfined)
    if kind == "RuntimeDefault":
        return pb.SecurityProfile(profile_type=pb.SecurityProfile.RuntimeDefault)
    reference = (profile or {}).get("localhostProfile") or ""
    return pb.SecurityProfile(profile_type=pb.SecurityProfile.Localhost, localhost_ref=str(root / reference))


def _selinux(options: Obj | None) -> pb.SELinuxOption | None:
    if not options:
        return None
    return pb.SELinuxOption(**{k: options[k] for k in ("user", "role", "type", "level") if options.get(k)})


def _int(value: Any) -> pb.Int64Value | None:
    return None if value is None else pb.Int64Value(value=value)
