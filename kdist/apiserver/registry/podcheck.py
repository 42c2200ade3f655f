"""What is wrong with a pod spec: containers, volumes, ports, probes, resources, scheduling."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

from kdist.api import quantity
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import podscheduling
from kdist.apiserver.validation import causes, names

_PULL = ("Always", "IfNotPresent", "Never")
_STANDARD = {"cpu", "memory", "ephemeral-storage", "storage"}
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")


def check_spec(spec: Obj, field: str) -> list[Cause]:
    """Causes for a whole pod spec at ``field``."""
    found = list(_scalars(spec, field))
    volumes = spec.get("volumes") or []
    found += _volumes(volumes, f"{field}.volumes")
    containers = spec.get("containers") or []
    if not containers:
        found.append(causes.required(f"{field}.containers"))
    known = {v.get("name") for v in volumes}
    seen: set[str] = set()
    for kind in ("containers", "initContainers"):
        for at, container in enumerate(spec.get(kind) or ()):
            where = f"{field}.{kind}[{at}]"
            found += check_container(container, where, known)
            found += _unique_name(container, where, seen)
    found += _sidecars(spec.get("initContainers") or (), f"{field}.initContainers")
    found += _sysctls(
        (spec.get("securityContext") or {}).get("sysctls") or (), f"{field}.securityContext.sysctls"
    )
    found += _host_ports(containers, f"{field}.containers")
    return found + podscheduling.check(spec, field)


def _unique_name(container: Obj, where: str, seen: set[str]) -> list[Cause]:
    name = container.get("name")
    if name and name in seen:
        return [causes.duplicate(f"{where}.name", name)]
    seen.add(name or "")
    return []


def _enum(obj: Obj, name: str, field: str, values: Iterable[str]) -> list[Cause]:
    value = obj.get(name)
    return [causes.not_supported(f"{field}.{name}", value, values)] if value and value not in values else []


def _scalars(spec: Obj, field: str) -> Iterator[Cause]:
    yield from _enum(spec, "restartPolicy", field, ("Always", "OnFailure", "Never"))
    yield from _enum(spec, "dnsPolicy", field, ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"))
    if (limit := spec.get("activeDeadlineSeconds")) is not None and not 1 <= limit <= 2**31 - 1:
        yield causes.invalid(
            f"{field}.activeDeadlineSeconds", limit, "must be between 1 and 2147483647, inclusive"
        )
    for name, rule in (
        ("serviceAccountName", names.dns_subdomain),
        ("nodeName", names.dns_subdomain),
        ("hostname", names.dns_label),
        ("subdomain", names.dns_label),
        ("priorityClassName", names.dns_subdomain),
        ("runtimeClassName", names.dns_subdomain),
    ):
        if value := spec.get(name):
            yield from (causes.invalid(f"{field}.{name}", value, c) for c in rule(value))
    for at, alias in enumerate(spec.get("hostAliases") or ()):
        yield from _host_alias(alias, f"{field}.hostAliases[{at}]")
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        yield causes.invalid(
            f"{field}.shareProcessNamespace", True, "ShareProcessNamespace and HostPID cannot both be enabled"
        )


def _host_alias(alias: Obj, field: str) -> Iterator[Cause]:
    yield from ip_address(alias.get("ip") or "", f"{field}.ip")
    for at, host in enumerate(alias.get("hostnames") or ()):
        yield from (causes.invalid(f"{field}.hostnames[{at}]", host, c) for c in names.dns_subdomain(host))


def ip_address(text: str, field: str) -> list[Cause]:
    """A cause when the text is no IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return [causes.invalid(field, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    return []


def _volumes(volumes: list[Obj], field: str) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for at, volume in enumerate(volumes):
        where, name = f"{field}[{at}]", volume.get("name") or ""
        if not name:
            found.append(causes.required(f"{where}.name"))
        elif complaints := names.dns_label(name):
            found += [causes.invalid(f"{where}.name", name, c) for c in complaints]
        elif name in seen:
            found.append(causes.duplicate(f"{where}.name", name))
        seen.add(name)
        for source in [f for f in volume if f != "name"][1:]:
            found.append(causes.forbidden(f"{where}.{source}", "may not specify more than 1 volume type"))
        found += _volume_source(volume, where)
    return found


def _volume_source(volume: Obj, where: str) -> Iterator[Cause]:
    if "secret" in volume and not volume["secret"].get("secretName"):
        yield causes.required(f"{where}.secret.secretName")
    if "configMap" in volume and not volume["configMap"].get("name"):
        yield causes.required(f"{where}.configMap.name")
    if "persistentVolumeClaim" in volume and not volume["persistentVolumeClaim"].get("claimName"):
        yield causes.required(f"{where}.persistentVolumeClaim.claimName")
    if "ephemeral" in volume and not (volume["ephemeral"] or {}).get("volumeClaimTemplate"):
        yield causes.required(f"{where}.ephemeral.volumeClaimTemplate")
    path = (volume.get("hostPath") or {}).get("path") or ""
    if ".." in path.split("/"):
        yield causes.invalid(f"{where}.hostPath.path", path, "must not contain '..'")
    for source in ("secret", "configMap", "projected", "downwardAPI"):
        mode = (volume.get(source) or {}).get("defaultMode")
        if mode is not None and not 0 <= mode <= 0o777:
            yield causes.invalid(
                f"{where}.{source}.defaultMode",
                mode,
                "must be a number between 0 and 0777 (octal), both inclusive",
            )


def check_container(container: Obj, field: str, volumes: set[Any]) -> list[Cause]:
    """Causes for one container; ``volumes`` are the names that it may mount."""
    found: list[Cause] = []
    name = container.get("name") or ""
    found += [causes.invalid(f"{field}.name", name, c) for c in names.dns_label(name)] if name else []
    image = container.get("image") or ""
    if not image:
        found.append(causes.required(f"{field}.image"))
    elif image != image.strip():
        found.append(causes.invalid(f"{field}.image", image, "must not have leading or trailing whitespace"))
    found += _enum(container, "imagePullPolicy", field, _PULL)
    found += _enum(container, "terminationMessagePolicy", field, ("File", "FallbackToLogsOnError"))
    found += _ports(container.get("ports") or [], f"{field}.ports")
    found += _env(container, field)
    found += _mounts(container, field, volumes)
    found += check_resources(container.get("resources") or {}, f"{field}.resources")
    found += _probes(container, field)
    return found + _security(container.get("securityContext") or {}, f"{field}.securityContext")


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
        found += _enum(port, "protocol", where, ("SCTP", "TCP", "UDP"))
    return found


def _host_ports(containers: list[Obj], field: str) -> list[Cause]:
    found: list[Cause] = []
    seen: set[tuple[Any, ...]] = set()
    for at, container in enumerate(containers):
        for index, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = (port.get("protocol"), port.get("hostIP") or "", port["hostPort"])
            if key in seen:
                told = f"{key[0]}/{key[1]}/{key[2]}"
                found.append(causes.duplicate(f"{field}[{at}].ports[{index}].hostPort", told))
            seen.add(key)
    return found


def _env(container: Obj, field: str) -> list[Cause]:
    found: list[Cause] = []
    for at, variable in enumerate(container.get("env") or ()):
        where, name = f"{field}.env[{at}]", variable.get("name") or ""
        if name:
            found += [causes.invalid(f"{where}.name", name, c) for c in names.env_name(name)]
        source = variable.get("valueFrom")
        if source is None:
            continue
        if variable.get("value"):
            found.append(
                causes.invalid(f"{where}.valueFrom", "", "may not be specified when `value` is not empty")
            )
        if not source:
            told = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
            found.append(causes.invalid(f"{where}.valueFrom", "", told))
        elif len(source) > 1:
            told = "may not have more than one field specified at a time"
            found.append(causes.invalid(f"{where}.valueFrom", "", told))
    return found


def _mounts(container: Obj, field: str, volumes: set[Any]) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for at, mount in enumerate(container.get("volumeMounts") or ()):
        where, name, path = f"{field}.volumeMounts[{at}]", mount.get("name"), mount.get("mountPath") or ""
        if name and name not in volumes:
            found.append(causes.not_found(f"{where}.name", name))
        if path and path in seen:
            found.append(causes.invalid(f"{where}.mountPath", path, "must be unique"))
        seen.add(path)
        if mount.get("subPath") and mount.get("subPathExpr"):
            found.append(
                causes.invalid(
                    f"{where}.subPathExpr",
                    mount["subPathExpr"],
                    "subPathExpr and subPath are mutually exclusive",
                )
            )
        for key in ("subPath", "subPathExpr"):
            value = mount.get(key) or ""
            if value.startswith("/"):
                found.append(causes.invalid(f"{where}.{key}", value, "must be a relative path"))
            if ".." in value.split("/"):
                found.append(causes.invalid(f"{where}.{key}", value, "must not contain '..'"))
        found += _enum(mount, "mountPropagation", where, ("Bidirectional", "HostToContainer", "None"))
    return found


def check_resources(resources: Obj, field: str) -> list[Cause]:
    """Requests and limits: known names, not negative, requests within limits."""
    found: list[Cause] = []
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for side, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            where = f"{field}.{side}"
            found += _resource_name(name, where)
            if quantity.parse(amount) < 0:
                found.append(causes.invalid(f"{where}[{name}]", amount, "must be greater than or equal to 0"))
    for name, amount in requests.items():
        limit = limits.get(name)
        if limit is not None and quantity.parse(amount) > quantity.parse(limit):
            told = f"must be less than or equal to {name} limit of {limit}"
            found.append(causes.invalid(f"{field}.requests", amount, told))
        elif "/" in name and limit != amount:
            told = f"must be equal to {name} limit of {limit or 0}"
            found.append(causes.invalid(f"{field}.requests", amount, told))
    return found


def _resource_name(name: str, field: str) -> list[Cause]:
    found = [_unquoted(f"{field}[{name}]", name, c) for c in names.qualified_name(name)]
    if not found and "/" not in name and name not in _STANDARD and not name.startswith("hugepages-"):
        told = "must be a standard resource type or fully qualified"
        return [
            _unquoted(f"{field}[{name}]", name, told),
            _unquoted(f"{field}[{name}]", name, "must be a standard resource for containers"),
        ]
    return found


def _unquoted(field: str, name: str, detail: str) -> Cause:
    """Resource names are told without quotes."""
    return Cause(field, f"Invalid value: {name}: {detail}")


def _probes(container: Obj, field: str) -> list[Cause]:
    found: list[Cause] = []
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        where = f"{field}.{name}"
        found += _handler(probe, where)
        for key in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold"):
            if (probe.get(key) or 0) < 0:
                told = "must be greater than or equal to 0"
                found.append(causes.invalid(f"{where}.{key}", probe[key], told))
        if name != "readinessProbe" and probe.get("successThreshold", 1) != 1:
            found.append(causes.invalid(f"{where}.successThreshold", probe["successThreshold"], "must be 1"))
    for name, handler in (container.get("lifecycle") or {}).items():
        if isinstance(handler, dict):
            found += _handler(handler, f"{field}.lifecycle.{name}")
    return found


def _handler(handler: Obj, field: str) -> list[Cause]:
    chosen = [h for h in (*_HANDLERS, "sleep") if h in handler]
    if not chosen:
        return [causes.required(field, "must specify a handler type")]
    found = [causes.forbidden(f"{field}.{h}", "may not specify more than 1 handler type") for h in chosen[1:]]
    action = handler[chosen[0]]
    if chosen[0] == "exec" and not action.get("command"):
        found.append(causes.required(f"{field}.exec.command"))
    if chosen[0] in ("httpGet", "tcpSocket"):
        found += port_reference(action.get("port", 0), f"{field}.{chosen[0]}.port")
    if chosen[0] == "httpGet":
        found += _enum(action, "scheme", f"{field}.httpGet", ("HTTP", "HTTPS"))
    return found


def port_reference(port: int | str, field: str) -> list[Cause]:
    """Causes for an IntOrString that names a port."""
    complaints = names.port_number(port) if isinstance(port, int) else names.port_name(port)
    return [causes.invalid(field, port, c) for c in complaints]


def _security(context: Obj, field: str) -> list[Cause]:
    found: list[Cause] = []
    for key in ("runAsUser", "runAsGroup"):
        if (number := context.get(key)) is not None and not 0 <= number <= 2**31 - 1:
            found.append(
                causes.invalid(f"{field}.{key}", number, "must be between 0 and 2147483647, inclusive")
            )
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            told = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            found.append(causes.invalid(field, context, told))
        if "SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            told = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            found.append(causes.invalid(field, context, told))
    return found


def _sysctls(sysctls: Iterable[Obj], field: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for at, sysctl in enumerate(sysctls):
        where, name = f"{field}[{at}].name", sysctl.get("name") or ""
        if not name:
            yield causes.required(where)
        elif complaints := names.sysctl_name(name):
            yield from (causes.invalid(where, name, c) for c in complaints)
        elif name in seen:
            yield causes.duplicate(where, name)
        seen.add(name)


def _sidecars(containers: Iterable[Obj], field: str) -> list[Cause]:
    found: list[Cause] = []
    for at, container in enumerate(containers):
        policy = container.get("restartPolicy")
        if policy and policy != "Always":
            found.append(causes.not_supported(f"{field}[{at}].restartPolicy", policy, ("Always",)))
        if policy == "Always":
            continue
        for name in ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle"):
            if container.get(name):
                told = "may not be set for init containers without restartPolicy=Always"
                found.append(causes.forbidden(f"{field}[{at}].{name}", told))
    return found
