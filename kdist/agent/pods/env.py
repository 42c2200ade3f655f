"""A container's environment, command and arguments: valueFrom, envFrom, service variables, ``$(NAME)``."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from kdist.agent.pods import resources
from kdist.agent.pods import spec as specs
from kdist.api import meta, quantity
from kdist.api import pods as api_pods
from kdist.api.meta import Obj

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class ConfigError(Exception):
    """A container cannot be configured: CreateContainerConfigError, retried."""


class Configs(Protocol):
    """Where configMaps and secrets come from; None means "does not exist"."""

    async def config_map(self, namespace: str, name: str) -> Obj | None:
        """The ConfigMap."""
        ...

    async def secret(self, namespace: str, name: str) -> Obj | None:
        """The Secret."""
        ...


@dataclass(frozen=True, slots=True)
class EnvFacts:
    """What fieldRef and resourceFieldRef can ask for beside the pod itself."""

    node_name: str = ""
    host_ips: tuple[str, ...] = ()
    pod_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, int] = field(default_factory=dict)
    services: tuple[Obj, ...] = ()


async def environment(pod: Obj, container: Obj, facts: EnvFacts, configs: Configs) -> dict[str, str]:
    """The variables in order; later ones win. Raises ConfigError."""
    env: dict[str, str] = {}
    if specs.spec(pod).get("enableServiceLinks") is not False:
        env.update(service_variables(meta.namespace(pod), facts.services))
    else:
        env.update(service_variables("default", [s for s in facts.services if _is_api(s)]))
    for source in container.get("envFrom") or ():
        env.update(await _env_from(meta.namespace(pod), source, configs))
    for variable in container.get("env") or ():
        value = await _value(pod, container, variable, env, facts, configs)
        if value is not None:
            env[variable["name"]] = value
    return env


async def _env_from(namespace: str, source: Obj, configs: Configs) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    if ref := source.get("configMapRef"):
        data = _text(await configs.config_map(namespace, ref["name"]))
        kind = "configmap"
    else:
        ref = source.get("secretRef") or {}
        data = _decoded(await configs.secret(namespace, ref["name"]))
        kind = "secret"
    if data is None:
        if ref.get("optional"):
            return {}
        raise ConfigError(f'{kind} "{ref["name"]}" not found')
    return {prefix + key: value for key, value in data.items() if "=" not in key}


async def _value(
    pod: Obj, container: Obj, variable: Obj, env: Mapping[str, str], facts: EnvFacts, configs: Configs
) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return api_pods.expand(variable.get("value") or "", env)
    if ref := source.get("fieldRef"):
        return field_value(pod, ref["fieldPath"], facts)
    if ref := source.get("resourceFieldRef"):
        return resource_value(pod, container, ref, facts.allocatable)
    namespace = meta.namespace(pod)
    if ref := source.get("configMapKeyRef"):
        return _pick(_text(await configs.config_map(namespace, ref["name"])), ref, "configmap", namespace)
    if ref := source.get("secretKeyRef"):
        return _pick(_decoded(await configs.secret(namespace, ref["name"])), ref, "secret", namespace)
    raise ConfigError(f'environment variable "{variable["name"]}" has an unknown source')


def _text(config_map: Obj | None) -> dict[str, str] | None:
    return None if config_map is None else config_map.get("data") or {}


def _decoded(secret: Obj | None) -> dict[str, str] | None:
    if secret is None:
        return None
    data = secret.get("data") or {}
    return {key: base64.b64decode(text).decode(errors="surrogateescape") for key, text in data.items()}


def _pick(data: dict[str, str] | None, ref: Obj, kind: str, namespace: str) -> str | None:
    if data is None:
        if ref.get("optional"):
            return None
        raise ConfigError(f'{kind} "{ref["name"]}" not found')
    if ref["key"] not in data:
        if ref.get("optional"):
            return None
        raise ConfigError(f"couldn't find key {ref['key']} in {kind} {namespace}/{ref['name']}")
    return data[ref["key"]]


def field_value(pod: Obj, path: str, facts: EnvFacts) -> str:
    """The value of a fieldRef. Raises ConfigError."""
    if match := _SUBSCRIPT.fullmatch(path):
        held = meta.labels(pod) if match[1] == "labels" else meta.annotations(pod)
        return held.get(match[2], "")
    values = {
        "metadata.name": meta.name(pod),
        "metadata.namespace": meta.namespace(pod),
        "metadata.uid": meta.uid(pod),
        "spec.nodeName": facts.node_name,
        "spec.serviceAccountName": specs.spec(pod).get("serviceAccountName") or "",
        "status.hostIP": facts.host_ips[0] if facts.host_ips else "",
        "status.hostIPs": ",".join(facts.host_ips),
        "status.podIP": facts.pod_ips[0] if facts.pod_ips else "",
        "status.podIPs": ",".join(facts.pod_ips),
    }
    if path not in values:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return values[path]


def resource_value(pod: Obj, container: Obj, ref: Obj, allocatable: Mapping[str, int]) -> str:
    """The value of a resourceFieldRef, in units of its divisor, rounded up. Raises ConfigError."""
    named = ref.get("containerName")
    target = specs.find_container(pod, named) if named else container
    if target is None:
        raise ConfigError(f"container {named} not found")
    side, _, resource = ref["resource"].partition(".")
    if side == "requests":
        amount = resources.request(target, resource)
    else:
        limit = resources.limit(target, resource)
        amount = allocatable.get(resource, 0) if limit is None else limit
    divisor = quantity.parse(ref.get("divisor") or "0") or quantity.parse("1")
    unit = divisor * 1000 if resource == "cpu" else divisor
    return str(math.ceil(amount / unit))


def _is_api(service: Obj) -> bool:
    return meta.key(service) == "default/kubernetes"


def service_variables(namespace: str, services: Iterable[Obj]) -> dict[str, str]:
    """``NAME_SERVICE_HOST`` and the like for the Services of the namespace and the API's own."""
    chosen = {meta.name(s): s for s in services if _is_api(s)}
    chosen.update({meta.name(s): s for s in services if meta.namespace(s) == namespace})
    env: dict[str, str] = {}
    for name in sorted(chosen):
        spec = chosen[name].get("spec") or {}
        ip = spec.get("clusterIP")
        if ip and ip != "None" and spec.get("type") != "ExternalName":
            env.update(_one_service(name.upper().replace("-", "_"), ip, spec.get("ports") or []))
    return env


def _one_service(name: str, ip: str, ports: list[Obj]) -> dict[str, str]:
    if not ports:
        return {}
    host = f"[{ip}]" if ":" in ip else ip
    env = {f"{name}_SERVICE_HOST": ip, f"{name}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            env[f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    for at, port in enumerate(ports):
        protocol = (port.get("protocol") or "TCP").lower()
        url = f"{protocol}://{host}:{port['port']}"
        prefix = f"{name}_PORT_{port['port']}_{protocol.upper()}"
        if at == 0:
            env[f"{name}_PORT"] = url
        env.update({prefix: url, f"{prefix}_PROTO": protocol, f"{prefix}_PORT": str(port["port"])})
        env[f"{prefix}_ADDR"] = ip
    return env


def expanded(words: Iterable[str] | None, env: Mapping[str, str]) -> list[str]:
    """A command or arguments with ``$(NAME)`` replaced."""
    return [api_pods.expand(word, env) for word in words or ()]
