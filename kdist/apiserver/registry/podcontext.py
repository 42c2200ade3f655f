"""What is wrong with security contexts, of pods and of containers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.validation import causes, names

_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_OF_LINUX = ("seLinuxOptions", "seccompProfile", "appArmorProfile", "runAsUser", "runAsGroup")
_OF_LINUX_PODS = (
    *_OF_LINUX,
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
)
_OF_LINUX_CONTAINERS = (
    *_OF_LINUX,
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
)
_KERNEL_IPC = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


def check_pod(spec: Obj, field: str) -> Iterator[Cause]:
    """Causes for the security context of a pod spec at ``field``."""
    context, where = spec.get("securityContext") or {}, f"{field}.securityContext"
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        if (number := context.get(key)) is not None:
            yield from _identity(number, f"{where}.{key}")
    for at, group in enumerate(context.get("supplementalGroups") or ()):
        yield from _identity(group, f"{where}.supplementalGroups[{at}]")
    for key, values in (
        ("fsGroupChangePolicy", ("Always", "OnRootMismatch")),
        ("supplementalGroupsPolicy", ("Merge", "Strict")),
        ("seLinuxChangePolicy", ("Recursive",)),  # the other one waits for the gate SELinuxMount
    ):
        if (policy := context.get(key)) is not None and policy not in values:
            yield causes.not_supported(f"{where}.{key}", policy, values)
    yield from _sysctls(context.get("sysctls") or (), spec, f"{where}.sysctls")
    yield from _profiles(context, where)
    yield from _of_system(context, spec, where, _OF_LINUX_PODS)
    yield from _of_host(spec, field)


def check_container(context: Obj, spec: Obj, field: str) -> Iterator[Cause]:
    """Causes for the security context of one container of a pod spec."""
    for key in ("runAsUser", "runAsGroup"):
        if (number := context.get(key)) is not None:
            yield from _identity(number, f"{field}.{key}")
    mount = context.get("procMount")
    if mount is not None and mount not in ("Default", "Unmasked"):
        yield causes.not_supported(f"{field}.procMount", mount, ("Default", "Unmasked"))
    if mount == "Unmasked" and spec.get("hostUsers") is not False:
        yield causes.invalid(f"{field}.procMount", mount, "`hostUsers` must be false to use `Unmasked`")
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            told = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            yield causes.invalid(field, context, told)
        if "SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            told = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            yield causes.invalid(field, context, told)
    yield from _profiles(context, field)
    yield from _of_system(context, spec, field, _OF_LINUX_CONTAINERS)


def _of_host(spec: Obj, field: str) -> Iterator[Cause]:
    """Namespaces of the host go with its users, and neither with Windows."""
    if spec.get("hostUsers") is False:
        for key, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if spec.get(key):
                yield causes.forbidden(f"{field}.{shown}", "when `pod.Spec.HostUsers` is false")
    if (spec.get("os") or {}).get("name") == "windows":
        for key in ("hostUsers", "shareProcessNamespace"):
            if spec.get(key) is not None:
                yield causes.forbidden(f"{field}.{key}", "cannot be set for a windows pod")
        for key in ("hostPID", "hostIPC"):
            if spec.get(key):
                yield causes.forbidden(f"{field}.{key}", "cannot be set for a windows pod")


def _identity(number: int, field: str) -> Iterator[Cause]:
    if not 0 <= number <= 2**31 - 1:
        yield causes.invalid(field, number, "must be between 0 and 2147483647, inclusive")


def _profiles(context: Obj, field: str) -> Iterator[Cause]:
    for name, told in (("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")):
        profile = context.get(name)
        if profile is not None:
            yield from _profile(profile, f"{field}.{name}", name, told)


def _profile(profile: Obj, field: str, name: str, told: str) -> Iterator[Cause]:
    kind, local, path = (
        profile.get("type") or "",
        profile.get("localhostProfile"),
        f"{field}.localhostProfile",
    )
    if kind == "Localhost":
        if not (local or "").strip() and (local is None or name == "appArmorProfile"):
            yield causes.required(path, f"must be set when {told} type is Localhost")
        elif local is not None and name == "seccompProfile":
            yield from _descending(local, path)
        elif local is not None and local != local.strip():
            yield causes.invalid(path, local, "must not be padded with whitespace")
    elif local is not None and (name == "seccompProfile" or kind in _PROFILES):
        detail = f"can only be set when {told} type is Localhost"
        yield causes.invalid(path, profile if name == "seccompProfile" else local, detail)
    if not kind:
        yield causes.required(f"{field}.type", f"type is required when {name} is set")
    elif kind not in _PROFILES:
        yield causes.not_supported(f"{field}.type", kind, _PROFILES)


def _descending(path: str, field: str) -> Iterator[Cause]:
    if path.startswith("/"):
        yield causes.invalid(field, path, "must be a relative path")
    if ".." in path.split("/"):
        yield causes.invalid(field, path, "must not contain '..'")


def _sysctls(sysctls: Iterable[Obj], spec: Obj, field: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for at, sysctl in enumerate(sysctls):
        where, name = f"{field}[{at}].name", sysctl.get("name") or ""
        plain = name.replace("/", ".")
        if not name:
            yield causes.required(where)
        elif complaints := names.sysctl_name(name):
            yield from (causes.invalid(where, name, c) for c in complaints)
        elif plain in seen:
            yield causes.duplicate(where, name)
        seen.add(plain)
        if spec.get("hostNetwork") and plain.startswith("net."):
            yield causes.invalid(where, name, "may not be specified when 'hostNetwork' is true")
        if spec.get("hostIPC") and plain.startswith(_KERNEL_IPC):
            yield causes.invalid(where, name, "may not be specified when 'hostIPC' is true")


def _of_system(context: Obj, spec: Obj, field: str, of_linux: tuple[str, ...]) -> Iterator[Cause]:
    """Fields of the other operating system, once the pod names its own."""
    system = (spec.get("os") or {}).get("name")
    if system == "linux" and "windowsOptions" in context:
        yield causes.forbidden(f"{field}.windowsOptions", "windows options cannot be set for a linux pod")
    if system == "windows":
        for name in of_linux:
            if context.get(name) is not None:
                yield causes.forbidden(f"{field}.{name}", "cannot be set for a windows pod")
