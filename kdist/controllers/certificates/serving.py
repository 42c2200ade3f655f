"""Approves the serving certificates of nodes: only for the name and the addresses of the node that asks.

Upstream leaves them to a person. What a node reports of itself proves nothing, so an address is refused when it
belongs to somebody else too: another node, a Service, or the virtual address of the API servers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from cryptography import x509

from kdist.api import meta
from kdist.api.errors import Conflict, NotFound
from kdist.api.kinds import CERTIFICATE_SIGNING_REQUESTS, CONFIG_MAPS, NODES, SERVICES
from kdist.api.meta import Obj
from kdist.client import kubeconfig
from kdist.controllers.base import Controller
from kdist.controllers.bootstraptokens import signer as cluster_info
from kdist.controllers.certificates import request as requests
from kdist.telemetry import log

_log = log.get(__name__)
_MESSAGE = "The names and addresses are those of the node that asks, and of nobody else."
# A node that has just registered, or an address that has just been given up: looked at again after this.
RETRY_SECONDS = 5.0


def node_of(csr: Obj) -> str | None:
    """The node that asks in its own name for a serving certificate; None for every other request."""
    spec = csr["spec"]
    user = spec.get("username", "")
    if spec.get("signerName") != requests.KUBELET_SERVING or not user.startswith("system:node:"):
        return None
    return str(user).removeprefix("system:node:") if "system:nodes" in (spec.get("groups") or ()) else None


def fault(
    parsed: x509.CertificateSigningRequest, usages: Iterable[str], node: Obj, taken: frozenset[str]
) -> str:
    """Why the request is not approved for ``node``; empty when it is. ``taken``: addresses of others."""
    if told := requests.fault(requests.KUBELET_SERVING, parsed, usages):
        return told
    if requests.common_name(parsed) != f"system:node:{meta.name(node)}":
        return f"its subject is {requests.common_name(parsed)}, and {meta.name(node)} asks"
    own = frozenset(a["address"] for a in meta.get(node, "status.addresses", ()) if a.get("address"))
    for asked in _hosts(parsed):
        if asked not in own | {meta.name(node)}:
            return f"{asked} is no address of node {meta.name(node)}"
        if asked in taken:
            return f"{asked} belongs to another node, to a Service or to the API servers"
    return ""


def _hosts(parsed: x509.CertificateSigningRequest) -> list[str]:
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def taken(node: str, nodes: Iterable[Obj], services: Iterable[Obj], info: Obj | None) -> frozenset[str]:
    """The names and addresses that ``node`` must not have: everybody else's."""
    found: set[str] = set()
    for other in nodes:
        if meta.name(other) != node:
            addresses = meta.get(other, "status.addresses", ())
            found |= {meta.name(other), *(a.get("address", "") for a in addresses)}
    for service in services:
        spec = service.get("spec") or {}
        ingress = meta.get(service, "status.loadBalancer.ingress", ())
        found |= {*(spec.get("clusterIPs") or ()), *(spec.get("externalIPs") or ())}
        found |= {entry.get("ip", "") for entry in ingress}
    return frozenset(found | _virtual(info)) - {"", "None"}


def _virtual(info: Obj | None) -> set[str]:
    """The address that leads to some API server and is no host's: the first of cluster-info beside the listed."""
    try:
        first, listed = kubeconfig.entry(meta.get(info or {}, "data.kubeconfig", ""))
    except kubeconfig.KubeconfigError:
        return set()
    host = urlsplit(first).hostname or ""
    return {host} - {urlsplit(server).hostname or "" for server in listed} if _is_address(host) else set()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class ServingApprover(Controller):
    """One key is one request."""

    name = "kubelet-serving-approving-controller"

    def setup(self) -> None:
        """Watch requests, and whose the addresses are."""
        self._requests = self.watch(CERTIFICATE_SIGNING_REQUESTS, self.enqueue)
        self._nodes = self.watch(NODES)
        self._services = self.watch(SERVICES)
        self._info = self.watch(
            CONFIG_MAPS, namespace=cluster_info.NAMESPACE, field_selector=f"metadata.name={cluster_info.NAME}"
        )

    async def reconcile(self, key: str) -> float | None:
        """Approve what is right; the rest waits for a person, or for the node to tell its addresses."""
        csr = self._requests.get(key)
        if csr is None or requests.condition(csr, "Approved") or requests.condition(csr, "Denied"):
            return None
        name = node_of(csr)
        if name is None:
            return None
        node = self._nodes.get(name)
        if node is None:
            return RETRY_SECONDS
        info = self._info.get(f"{cluster_info.NAMESPACE}/{cluster_info.NAME}")
        others = taken(name, self._nodes.list(), self._services.list(), info)
        try:
            told = fault(requests.parse(csr), requests.usages(csr), node, others)
        except ValueError as error:
            told = f"the request cannot be read: {error}"
        if told:
            _log.warning("a serving certificate is not approved", name=key, node=name, reason=told)
            return RETRY_SECONDS * 12
        await self._approve(csr)
        return None

    async def _approve(self, csr: Obj) -> None:
        try:
            changed = requests.approved(csr, _MESSAGE)
            await self.client.update(CERTIFICATE_SIGNING_REQUESTS, changed, subresource="approval")
        except (Conflict, NotFound):
            return  # the watch tells what is there now
