"""What is wrong with what is asked of a running container: probes and lifecycle hooks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kdist.api.errors import Cause
from kdist.api.meta import Obj
from kdist.apiserver.validation import causes, names
from kdist.apiserver.validation.enums import one_of

_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HEADER = re.compile("[-A-Za-z0-9]+")


def check(container: Obj, field: str) -> list[Cause]:
    """Causes for the probes and lifecycle hooks of a container at ``field``."""
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
