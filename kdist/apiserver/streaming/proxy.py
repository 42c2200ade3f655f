"""The ``proxy`` subresource of pods, services and nodes: HTTP and upgrades to what they serve."""

from __future__ import annotations

import random
from urllib.parse import quote

from kdist.api import meta
from kdist.api.errors import BadRequest, ServiceUnavailable
from kdist.api.kinds import ENDPOINTS, SERVICES
from kdist.api.meta import Obj
from kdist.apiserver import answers
from kdist.apiserver.call import Call
from kdist.apiserver.loopback import resource_of
from kdist.apiserver.streaming import agents
from kdist.apiserver.streaming.location import Location
from kdist.apiserver.streaming.tunnel import tunnel

_SCHEMES = ("", "http", "https")


def split_name(name: str) -> tuple[str, str, str]:
    """(scheme, name, port) of ``[SCHEME:]NAME[:PORT]``. BadRequest."""
    parts = name.split(":")
    if len(parts) == 1:
        found = ("", parts[0], "")
    elif len(parts) == 2:
        found = ("", parts[0], parts[1])
    elif len(parts) == 3:
        found = (parts[0], parts[1], parts[2])
    else:
        raise BadRequest(f'invalid proxy name "{name}"')
    if found[0] not in _SCHEMES or not found[1]:
        raise BadRequest(f'invalid proxy name "{name}"')
    return found


async def pod(call: Call) -> None:
    """To a pod: its address, and the port asked for or its first one."""
    scheme, name, port = split_name(call.name)
    found = await call.store.get(call.namespace, name)
    address = meta.get(found, "status.podIP", "")
    if not address:
        raise BadRequest("address not allowed: the pod has no address")
    number = _port_of_pod(found, port)
    await _proxy(call, Location(address, number, agents.unverified_context() if scheme == "https" else None))


def _port_of_pod(pod: Obj, port: str) -> int:
    ports = [p for c in pod["spec"].get("containers") or () for p in c.get("ports") or ()]
    if not port:
        return int(ports[0]["containerPort"]) if ports else 80
    if port.isdigit():
        return int(port)
    for row in ports:
        if row.get("name") == port:
            return int(row["containerPort"])
    raise BadRequest(f'no port "{port}" in pod "{meta.name(pod)}"')


async def service(call: Call) -> None:
    """To one of the ready endpoints of a Service."""
    scheme, name, port = split_name(call.name)
    services = call.core.store(resource_of(call.core, SERVICES))
    found = await services.get(call.namespace, name)
    port_name = _port_name(found, port)
    address, number = await _endpoint(call, name, port_name)
    await _proxy(call, Location(address, number, agents.unverified_context() if scheme == "https" else None))


def _port_name(service: Obj, port: str) -> str:
    """The name of the Service's port that is meant by name or number."""
    ports = service["spec"].get("ports") or []
    if not port and len(ports) == 1:
        return str(ports[0].get("name") or "")
    for row in ports:
        if (row.get("name") or "") == port or str(row.get("port")) == port:
            return str(row.get("name") or "")
    raise ServiceUnavailable(f'no service port "{port}" found for service "{meta.name(service)}"')


async def _endpoint(call: Call, name: str, port_name: str) -> tuple[str, int]:
    endpoints = call.core.store(resource_of(call.core, ENDPOINTS))
    found = await endpoints.get(call.namespace, name, fresh=False)
    candidates = [
        (address["ip"], port["port"])
        for subset in found.get("subsets") or ()
        for port in subset.get("ports") or ()
        if (port.get("name") or "") == port_name
        for address in subset.get("addresses") or ()
    ]
    if not candidates:
        raise ServiceUnavailable(f'no endpoints available for service "{name}"')
    return random.choice(candidates)


async def node(call: Call) -> None:
    """To a node's agent, as the API server itself."""
    scheme, name, port = split_name(call.name)
    location = await agents.locate(call.core, name)
    if port and int(port) != location.port:
        context = agents.unverified_context() if scheme == "https" else None
        location = Location(location.host, int(port), context)
    await _proxy(call, location)


async def _proxy(call: Call, location: Location) -> None:
    request = call.request
    if _ends_without_slash(call):
        where = request.scope["raw_path"].decode("latin-1") + "/"
        query = request.scope["query_string"].decode("latin-1")
        extra = [("Location", f"{where}?{query}" if query else where)]
        await answers.send_bytes(request, call.send, b"", status=301, content_type="text/plain", extra=extra)
        return
    prefix, _, tail = request.scope["raw_path"].decode("latin-1").partition("/proxy/")
    query = request.scope["query_string"].decode("latin-1")
    target = "/" + tail + (f"?{query}" if query else "")
    if request.wants_upgrade:
        await tunnel(request, call.send, location, target, stopping=call.core.stopping)
        return
    await call.core.forwarder.forward(
        request, call.send, location, target, prefix=quote(prefix, safe="/:%") + "/proxy"
    )


def _ends_without_slash(call: Call) -> bool:
    """``.../proxy`` itself: relative links of the page would lead astray."""
    raw: bytes = call.request.scope["raw_path"]
    return (
        call.request.method in ("GET", "HEAD") and raw.endswith(b"/proxy") and not call.request.wants_upgrade
    )


HANDLERS = {("", "pods"): pod, ("", "services"): service, ("", "nodes"): node}


async def proxy(call: Call) -> None:
    """Any verb on any ``proxy`` subresource."""
    await HANDLERS[call.resource.group, call.resource.plural](call)
