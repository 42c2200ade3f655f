"""What is wrong with the containers of a pod spec: images, ports, mounts; the rest in modules of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import podcontext, podenvironment, podmounts, podprobes, podresources
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.enums import one_of

_PULL = ("Always", "IfNotPresent", "Never")


def check_all(spec: Obj, field: str, usable: set[str]) -> list[Cause]:
    """Causes for all containers of a pod spec at ``field``; ``usable`` volumes may be mounted."""
    containers = spec.get("containers") or []
    seen: set[str] = set()
    found: list[Cause] = []
    for kind in ("containers", "initContainers"):
        for at, container in enumerate(spec.get(kind) or ()):
            where = f"{field}.{kind}[{at}]"
            found += check_container(container, where, usable, spec)
            name = container.get("name")
            if name and name in seen:
                found.append(causes.duplicate(f"{where}.name", name))
            seen.add(name or "")
    for at, container in enumerate(containers):
        if container.get("restartPolicy") is not None:
            told = "may not be set for non-init containers"
            found.append(causes.forbidden(f"{field}.containers[{at}].restartPolicy", told))
    for at, container in enumerate(spec.get("initContainers") or ()):  # they run one by one
        found += _host_ports([container], f"{field}.initContainers", at)
    found += _sidecars(spec.get("initContainers") or (), f"{field}.initContainers")
    return found + _host_ports(containers, f"{field}.containers")


def check_container(container: Obj, field: str, volumes: set[str], spec: Obj) -> list[Cause]:
    """Causes for one container of ``spec``; ``volumes`` are the names that it may mount."""
    found: list[Cause] = []
    name = container.get("name") or ""
    if not name:
        found.append(causes.required(f"{field}.name"))
    found += [causes.invalid(f"{field}.name", name, c) for c in names.dns_label(name)] if name else []
    image = container.get("image") or ""
    if not image:
        found.append(causes.required(f"{field}.image"))
    elif image != image.strip():
        found.append(causes.invalid(f"{field}.image", image, "must not have leading or trailing whitespace"))
    found += one_of(container, "imagePullPolicy", field, _PULL)
    found += one_of(container, "terminationMessagePolicy", field, ("File", "FallbackToLogsOnError"))
    found += _ports(container.get("ports") or [], f"{field}.ports")
    found += podenvironment.check(container, field)
    found += podmounts.check(container, field, volumes, spec)
    found += podresources.check_resources(container.get("resources") or {}, f"{field}.resources")
    if policies := container.get("resizePolicy"):
        restarts = (spec.get("restartPolicy") or "") != "Never"
        found += podresources.check_policies(policies, f"{field}.resizePolicy", restarts=restarts)
    found += podprobes.check(container, field)
    return found + list(
        podcontext.check_container(container.get("securityContext") or {}, spec, f"{field}.securityContext")
    )


def _ports(ports: list[Obj], field: str) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for at, port in enumerate(ports):
        where = f"{field}[{at}]"
        if name := port.get("name"):
            found += [causes.invalid(f"{where}.name", name, c) for c in names.port_name(name)]
            if name in seen:
                found.append(causes.duplicate(f"{where}.name", name))
            seen.add(name)
        number = port.get("containerPort") or 0
        if not number:
            found.append(causes.required(f"{where}.containerPort"))
        else:
            found += [causes.invalid(f"{where}.containerPort", number, c) for c in names.port_number(number)]
        if host := port.get("hostPort"):
            found += [causes.invalid(f"{where}.hostPort", host, c) for c in names.port_number(host)]
        found += one_of(port, "protocol", where, ("SCTP", "TCP", "UDP"))
    return found


def _host_ports(containers: list[Obj], field: str, first: int = 0) -> list[Cause]:
    found: list[Cause] = []
    seen: set[tuple[Any, ...]] = set()
    for at, container in enumerate(containers, first):
        for index, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = (port.get("protocol"), port.get("hostIP") or "", port["hostPort"])
            if key in seen:
                told = f"{key[0]}/{key[1]}/{key[2]}"
                found.append(causes.duplicate(f"{field}[{at}].ports[{index}].hostPort", told))
            seen.add(key)
    return found


def _sidecars(containers: Iterable[Obj], field: str) -> list[Cause]:
    found: list[Cause] = []
    for at, container in enumerate(containers):
        policy = container.get("restartPolicy")
        if policy is not None and policy != "Always":
            found.append(causes.not_supported(f"{field}[{at}].restartPolicy", policy, ("Always",)))
        if policy == "Always":
            continue
        for name in ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle"):
            if container.get(name):
                told = "may not be set for init containers without restartPolicy=Always"
                found.append(causes.forbidden(f"{field}[{at}].{name}", told))
    return found
