"""Ingresses and their classes."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from kdist.api import meta
from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.registry.base import Strategy
from kdist.apiserver.registry.podcheck import ip_address
from kdist.apiserver.registry.podspec import fill
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.fields import ruled, word

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_NOT_IN_PATHS = ("//", "/./", "/../", "%2f", "%2F")
_NOT_AT_THEIR_END = ("/..", "/.")
_CONTROLLER_LIMIT = 250
_URL_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")


class IngressStrategy(Strategy):
    """Ingresses."""

    checks_required = False
    tracks_generation = True

    def prepare_create(self, obj: Obj) -> None:
        """No address yet."""
        super().prepare_create(obj)
        obj["status"] = {"loadBalancer": {}}

    def check(self, obj: Obj) -> list[Cause]:
        """Something to route to, hosts, paths, back ends."""
        return list(_spec(obj.get("spec") or {}))

    def check_create(self, obj: Obj) -> list[Cause]:
        """The two ways to name a class agree."""
        name, annotated = meta.get(obj, "spec.ingressClassName"), meta.annotations(obj).get(_CLASS_ANNOTATION)
        if name is None or annotated in (None, name):
            return []
        told = "must match `ingressClassName` when both are specified"
        return [causes.invalid(f"annotations.{_CLASS_ANNOTATION}", annotated, told)]

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Where the Ingress is reached."""
        found = super().validate_status_update(new, old)
        for at, ingress in enumerate(meta.get(new, "status.loadBalancer.ingress", [])):
            where, name = f"status.loadBalancer.ingress[{at}]", ingress.get("hostname") or ""
            if address := ingress.get("ip"):
                found += ip_address(address, f"{where}.ip")
            if name:
                found += [*ruled(f"{where}.hostname", name, names.dns_subdomain)]
                found += _not_an_address(f"{where}.hostname", name)
        return found

    def warnings(self, obj: Obj, old: Obj | None = None) -> list[str]:
        """The annotation of old."""
        if old is not None or _CLASS_ANNOTATION not in meta.annotations(obj):
            return []
        return [
            f"annotation \"{_CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"
        ]


def _spec(spec: Obj) -> Iterator[Cause]:
    default = spec.get("defaultBackend")
    if not spec.get("rules") and default is None:
        yield causes.invalid("spec", [], "either `defaultBackend` or `rules` must be specified")
    if default is not None:
        yield from _backend(default, "spec.defaultBackend")
    for at, rule in enumerate(spec.get("rules") or ()):
        yield from _rule(rule, f"spec.rules[{at}]")
    for at, tls in enumerate(spec.get("tls") or ()):
        for index, host in enumerate(tls.get("hosts") or ()):
            yield from _host(host, f"spec.tls[{at}].hosts[{index}]")
        if secret := tls.get("secretName"):
            yield from ruled(f"spec.tls[{at}].secretName", secret, names.dns_subdomain)
    if (name := spec.get("ingressClassName")) is not None:
        yield from ruled("spec.ingressClassName", name, names.dns_subdomain)


def _host(host: str, field: str) -> list[Cause]:
    return ruled(field, host, names.wildcard_subdomain if "*" in host else names.dns_subdomain)


def _not_an_address(field: str, name: str) -> list[Cause]:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return []
    return [causes.invalid(field, name, "must be a DNS name, not an IP address")]


def _rule(rule: Obj, where: str) -> Iterator[Cause]:
    if host := rule.get("host"):
        yield from _not_an_address(f"{where}.host", host)
        yield from _host(host, f"{where}.host")
    http = rule.get("http")
    if http is None:
        return
    if not http.get("paths"):
        yield causes.required(f"{where}.http.paths")
    for at, path in enumerate(http.get("paths") or ()):
        yield from _path(path, f"{where}.http.paths[{at}]")


def _path(path: Obj, where: str) -> Iterator[Cause]:
    kind, text, field = path.get("pathType"), path.get("path") or "", f"{where}.path"
    if kind is None:
        yield causes.required(f"{where}.pathType", "pathType must be specified")
        return
    if kind not in _PATH_TYPES:
        yield from word(f"{where}.pathType", kind, _PATH_TYPES)
    elif not text.startswith("/") and (text or kind != "ImplementationSpecific"):
        yield causes.invalid(field, text, "must be an absolute path")
    if kind in ("Exact", "Prefix"):
        for part in _NOT_IN_PATHS:
            if part in text:
                yield causes.invalid(field, text, f"must not contain '{part}'")
        for end in _NOT_AT_THEIR_END:
            if text.endswith(end):
                yield causes.invalid(field, text, f"cannot end with '{end}'")
    yield from _backend(path.get("backend") or {}, f"{where}.backend")


def _backend(backend: Obj, where: str) -> Iterator[Cause]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        yield causes.invalid(where, "", "cannot set both resource and service backends")
    elif resource is not None:
        yield from _reference(resource, f"{where}.resource")
    elif service is None:
        yield causes.invalid(where, "", "resource or service backend is required")
    else:
        yield from _service(service, where)


def _service(service: Obj, where: str) -> Iterator[Cause]:
    at, name, port = f"{where}.service", service.get("name") or "", service.get("port") or {}
    if name:
        yield from ruled(f"{at}.name", name, names.dns_1035_label)
    else:
        yield causes.required(f"{at}.name")
    named, number = port.get("name") or "", port.get("number") or 0
    if named and number:
        yield causes.invalid(where, "", "cannot set both port name & port number")
    elif named:
        yield from ruled(f"{at}.port.name", named, names.port_name)
    elif number:
        yield from (causes.invalid(f"{at}.port.number", number, c) for c in names.port_number(number))
    else:
        yield causes.required(where, "port name or number is required")


def _reference(reference: Obj, where: str) -> Iterator[Cause]:
    if (group := reference.get("apiGroup")) is not None:
        yield from ruled(f"{where}.apiGroup", group, names.dns_subdomain)
    for field in ("kind", "name"):
        if text := reference.get(field):
            yield from ruled(f"{where}.{field}", text, names.path_segment)
        else:
            yield causes.required(f"{where}.{field}", f"{field} is required")


class IngressClassStrategy(Strategy):
    """IngressClasses: the controller is for life."""

    checks_required = False
    tracks_generation = True

    def default(self, obj: Obj) -> None:
        """Parameters are cluster-wide."""
        if (parameters := meta.get(obj, "spec.parameters")) is not None:
            fill(parameters, scope="Cluster")

    def check(self, obj: Obj) -> list[Cause]:
        """Who serves the class, and with which parameters."""
        spec = obj.get("spec") or {}
        found = list(_controller(spec.get("controller") or ""))
        if (parameters := spec.get("parameters")) is not None:
            found += _parameters(parameters, "spec.parameters")
        return found

    def check_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The controller cannot change."""
        now, had = (meta.get(o, "spec.controller", "") for o in (new, old))
        return causes.immutable("spec.controller", now, had)


def _controller(name: str) -> Iterator[Cause]:
    field = "spec.controller"
    if len(name) > _CONTROLLER_LIMIT:
        yield causes.too_long(field, _CONTROLLER_LIMIT)
    host, _, path = name.partition("/")
    if not name:
        yield causes.required(field)
    elif not host or not path:
        yield causes.invalid(field, name, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        yield from ruled(field, host, names.dns_subdomain)
        if not _URL_PATH.fullmatch(path):
            told = f"Invalid path (regex used for validation is '{_URL_PATH.pattern}')"
            yield causes.invalid(field, path, told)


def _parameters(parameters: Obj, where: str) -> Iterator[Cause]:
    yield from _reference(parameters, where)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    yield from word(f"{where}.scope", scope, ("Cluster", "Namespace"))
    if scope == "Namespace" and namespace is None:
        yield causes.required(f"{where}.namespace", "`parameters.scope` is set to 'Namespace'")
    elif scope == "Namespace":
        yield from ruled(f"{where}.namespace", namespace or "", names.dns_label)
    elif scope == "Cluster" and namespace is not None:
        yield causes.forbidden(f"{where}.namespace", "`parameters.scope` is set to 'Cluster'")
