"""Where the agents are, and how this server shows itself to them."""

from __future__ import annotations

import functools
import ssl

from kdist.api import meta
from kdist.api.errors import BadRequest, InternalError
from kdist.api.kinds import NODES
from kdist.api.meta import Obj
from kdist.apiserver.core import Core
from kdist.apiserver.loopback import resource_of
from kdist.apiserver.streaming.location import Location
from kdist.config.apiserver import ApiServerSettings
from kdist.pki import serving
from kdist.pki.following import Followed

_ADDRESS_TYPES = ("InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS")
DEFAULT_PORT = 10250


async def locate(core: Core, node_name: str) -> Location:
    """The agent of a node. NotFound for an unknown node, InternalError for one without address."""
    node = await core.store(resource_of(core, NODES)).get("", node_name, fresh=False)
    return Location(address_of(node), port_of(node), client_context(core.settings))


def address_of(node: Obj) -> str:
    """The address that is tried: InternalIP first. InternalError when there is none."""
    addresses = {a["type"]: a["address"] for a in reversed(meta.get(node, "status.addresses", []))}
    for kind in _ADDRESS_TYPES:
        if kind in addresses:
            return str(addresses[kind])
    raise InternalError(f"no preferred addresses found; known addresses: {list(addresses.values())}")


def port_of(node: Obj) -> int:
    """The agent's port, which it publishes in its node's status."""
    return int(meta.get(node, "status.daemonEndpoints.kubeletEndpoint.Port", DEFAULT_PORT) or DEFAULT_PORT)


def client_context(settings: ApiServerSettings) -> ssl.SSLContext:
    """TLS towards agents: our client certificate, theirs verified when a CA is configured."""
    context = _followed(settings).current()
    if settings.kubelet_certificate_authority is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@functools.lru_cache(maxsize=4)
def _followed(settings: ApiServerSettings) -> Followed[ssl.SSLContext]:
    return serving.client_context(
        settings.kubelet_certificate_authority,
        settings.kubelet_client_certificate,
        settings.kubelet_client_key,
    )


@functools.cache
def unverified_context() -> ssl.SSLContext:
    """TLS towards workloads behind ``https:`` proxies, whose certificates nobody here can know."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def of_pod(core: Core, pod: Obj) -> Location:
    """The agent that runs a pod. BadRequest when it is on no node yet."""
    node = meta.get(pod, "spec.nodeName", "")
    if not node:
        raise BadRequest(f"pod {meta.name(pod)} does not have a host assigned")
    return await locate(core, node)
