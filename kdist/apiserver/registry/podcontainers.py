"""What is wrong with the containers of a pod spec: images, ports, environment, mounts, resources, probes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from kdist.api import quantity
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry import podcontext
from kdist.apiserver.registry.podvolumes import check_descending_path
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.enums import one_of

_PULL = ("Always", "IfNotPresent", "Never")
_STANDARD = {"cpu", "memory", "ephemeral-storage", "storage"}
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_SUBSCRIPT = re.compile(r"(.*)\['(.*)'\]")
_FIELD_PATHS = {
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
}
_HEADER = re.compile("[-A-Za-z0-9]+")


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
    found += _env(container, field)
    found += _env_from(container, field)
    found += _mounts(container, field, volumes)
    found += _devices(container, field, volumes)
    found += check_resources(container.get("resources") or {}, f"{field}.resources")
    found += _probes(container, field)
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
        found += check_value_source(source, f"{where}.valueFrom")
    return found


def check_value_source(source: Obj, field: str) -> Iterator[Cause]:
    """Causes for what an EnvVarSource, or a file of a downward API volume, refers to."""
    for kind in ("configMapKeyRef", "secretKeyRef"):
        reference = source.get(kind)
        if reference is not None:
            if not reference.get("name"):
                yield causes.required(f"{field}.{kind}.name")
            if not reference.get("key"):
                yield causes.required(f"{field}.{kind}.key")
            else:
                key = reference["key"]
                yield from (causes.invalid(f"{field}.{kind}.key", key, c) for c in names.config_key(key))
    if "fieldRef" in source:
        yield from _field_reference(source["fieldRef"], f"{field}.fieldRef")
    if "resourceFieldRef" in source and not source["resourceFieldRef"].get("resource"):
        yield causes.required(f"{field}.resourceFieldRef.resource")


def _field_reference(reference: Obj, field: str) -> Iterator[Cause]:
    path = reference.get("fieldPath") or ""
    if not path:
        yield causes.required(f"{field}.fieldPath")
        return
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript and subscript[1] in ("metadata.annotations", "metadata.labels"):
        key = subscript[2]
        rule = names.qualified_name(key.lower() if subscript[1] == "metadata.annotations" else key)
        yield from (causes.invalid(field, key, c) for c in rule)
    elif path not in _FIELD_PATHS:
        told = f"error converting fieldPath: field label not supported: {path}"
        yield causes.invalid(f"{field}.fieldPath", path, told)


def _env_from(container: Obj, field: str) -> Iterator[Cause]:
    for at, source in enumerate(container.get("envFrom") or ()):
        chosen = [kind for kind in ("configMapRef", "secretRef") if kind in source]
        if prefix := source.get("prefix"):
            where = f"{field}.envFrom[{at}].prefix"
            yield from (causes.invalid(where, prefix, c) for c in names.env_name(prefix))
        if not chosen:
            told = "must specify one of: `configMapRef` or `secretRef`"
            yield causes.invalid(f"{field}.envFrom", "", told)
        elif len(chosen) > 1:
            told = "may not have more than one field specified at a time"
            yield causes.invalid(f"{field}.envFrom", "", told)
        for kind in chosen:
            name, where = source[kind].get("name") or "", f"{field}.envFrom[{at}].{kind}.name"
            if not name:
                yield causes.required(where)
            else:
                yield from (causes.invalid(where, name, c) for c in names.dns_subdomain(name))


def _mounts(container: Obj, field: str, volumes: set[str]) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for at, mount in enumerate(container.get("volumeMounts") or ()):
        where, path = f"{field}.volumeMounts[{at}]", mount.get("mountPath") or ""
        name = mount.get("name") or ""
        if not name:
            found.append(causes.required(f"{where}.name"))
        if name not in volumes:
            found.append(causes.not_found(f"{where}.name", name))
        if not path:
            found.append(causes.required(f"{where}.mountPath"))
        if path in seen:
            found.append(causes.invalid(f"{where}.mountPath", path, "must be unique"))
        seen.add(path)
        if mount.get("subPath") and mount.get("subPathExpr"):
            told = "subPathExpr and subPath are mutually exclusive"
            found.append(causes.invalid(f"{where}.subPathExpr", mount["subPathExpr"], told))
        for key in ("subPath", "subPathExpr"):  # named without the mount's place in the list
            found += check_descending_path(mount.get(key) or "", f"{field}.volumeMounts.{key}")
        found += one_of(mount, "mountPropagation", where, ("Bidirectional", "HostToContainer", "None"))
        found += _recursively_read_only(mount, where)
    return found


def _recursively_read_only(mount: Obj, where: str) -> Iterator[Cause]:
    wanted, field = mount.get("recursiveReadOnly"), f"{where}.recursiveReadOnly"
    if wanted in (None, "Disabled"):
        return
    if wanted not in ("Enabled", "IfPossible"):
        yield causes.not_supported(field, wanted, ("Disabled", "Enabled", "IfPossible"))
        return
    if not mount.get("readOnly"):
        yield causes.forbidden(field, "may only be specified when readOnly is true")
    if mount.get("mountPropagation") not in (None, "None"):
        yield causes.forbidden(field, "may only be specified when mountPropagation is None or not specified")


def _devices(container: Obj, field: str, volumes: set[str]) -> Iterator[Cause]:
    taken: set[str] = set()
    seen: set[str] = set()
    for at, device in enumerate(container.get("volumeDevices") or ()):
        where = f"{field}.volumeDevices[{at}]"
        name, path = device.get("name") or "", device.get("devicePath") or ""
        if not name:
            yield causes.required(f"{where}.name")
        if name in taken:
            yield causes.invalid(f"{where}.name", name, "must be unique")
        if name not in volumes:
            yield causes.not_found(f"{where}.name", name)
        if not path:
            yield causes.required(f"{where}.devicePath")
        if path in seen:
            yield causes.invalid(f"{where}.devicePath", path, "must be unique")
        taken.add(name)
        seen.add(path)


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
        elif _is_extended(name) and limit is None:
            told = "Limit must be set for non overcommitable resources"
            found.append(causes.required(f"{field}.limits", told))
        elif _is_extended(name) and limit != amount:
            told = f"must be equal to {name} limit of {limit}"
            found.append(causes.invalid(f"{field}.requests", amount, told))
    named = {*limits, *requests}
    if any(name.startswith("hugepages-") for name in named) and not named & {"cpu", "memory"}:
        found.append(causes.forbidden(field, "HugePages require cpu or memory"))
    return found


def _is_extended(name: str) -> bool:
    """Whether a resource cannot be promised twice: all but the standard ones."""
    return "/" in name or name.startswith("hugepages-")


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
        if name in container:
            found += _probe(container[name], name, f"{field}.{name}")
    for name, handler in (container.get("lifecycle") or {}).items():
        if isinstance(handler, dict):
            found += _handler(handler, f"{field}.lifecycle.{name}")
    return found


def _probe(probe: Obj, name: str, where: str) -> Iterator[Cause]:
    yield from _handler(probe, where)
    for key in (
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ):
        if (probe.get(key) or 0) < 0:
            yield causes.invalid(f"{where}.{key}", probe[key], "must be greater than or equal to 0")
    if name != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        yield causes.invalid(f"{where}.successThreshold", probe["successThreshold"], "must be 1")
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and name == "readinessProbe":
        told = "must not be set for readinessProbes"
        yield causes.invalid(f"{where}.terminationGracePeriodSeconds", grace, told)
    elif grace is not None and grace <= 0:
        yield causes.invalid(f"{where}.terminationGracePeriodSeconds", grace, "must be greater than 0")


def _handler(handler: Obj, field: str) -> list[Cause]:
    chosen = [h for h in (*_HANDLERS, "sleep") if h in handler]
    if not chosen:
        return [causes.required(field, "must specify a handler type")]
    found = [causes.forbidden(f"{field}.{h}", "may not specify more than 1 handler type") for h in chosen[1:]]
    kind, action = chosen[0], handler[chosen[0]]
    if kind == "exec" and not action.get("command"):
        found.append(causes.required(f"{field}.exec.command"))
    if kind in ("httpGet", "tcpSocket"):
        found += port_reference(action.get("port", 0), f"{field}.{kind}.port")
    if kind == "grpc":
        number = action.get("port", 0)
        found += [causes.invalid(f"{field}.grpc.port", number, c) for c in names.port_number(number)]
    if kind == "httpGet":
        found += one_of(action, "scheme", f"{field}.httpGet", ("HTTP", "HTTPS"))
        for header in action.get("httpHeaders") or ():
            found += _header(header.get("name") or "", f"{field}.httpGet.httpHeaders")
    return found


def _header(name: str, field: str) -> list[Cause]:
    if _HEADER.fullmatch(name):
        return []
    told = (
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for "
        f"validation is '{_HEADER.pattern}')"
    )
    return [causes.invalid(field, name, told)]


def port_reference(port: int | str, field: str) -> list[Cause]:
    """Causes for an IntOrString that names a port."""
    complaints = names.port_number(port) if isinstance(port, int) else names.port_name(port)
    return [causes.invalid(field, port, c) for c in complaints]


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
