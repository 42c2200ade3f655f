"""Looking at hosts and cluster for :mod:`gates`: over ssh and through the API."""

from __future__ import annotations

import asyncio
import base64
import binascii
import datetime
import inspect
import json
from typing import Any

from cryptography import x509

from kdist.api import kinds
from kdist.api.errors import ApiError
from kdist.client.rest import Client, Unreachable
from kdist.lifecycle.etcd.members import Member
from kdist.lifecycle.operation.api import Api
from kdist.lifecycle.operation.remote import HostError
from kdist.lifecycle.operation.site import Site
from kdist.lifecycle.upgrade import hostkeep
from kdist.lifecycle.upgrade.gates import ClusterView, HostView, MemberView

_WORKLOADS = (kinds.DEPLOYMENTS, kinds.STATEFUL_SETS, kinds.DAEMON_SETS)
_ETCDCTL = (
    "cd /etc/kubernetes/pki/etcd && ETCDCTL_API=3 etcdctl --cacert=ca.crt --cert=healthcheck-client.crt "
    "--key=healthcheck-client.key --command-timeout=5s --write-out=json"
)


async def keep(site: Site, host: str, *arguments: str, timeout: float = 60) -> dict[str, Any]:
    """Run :mod:`hostkeep` on a host. Raises HostError."""
    source = inspect.getsource(hostkeep).encode()
    answer: dict[str, Any] = json.loads(
        await site.run(host, f"/usr/bin/python3 - {' '.join(arguments)}", given=source, timeout=timeout)
    )
    return answer


async def hosts(site: Site) -> list[HostView]:
    """Every host, in order."""
    return list(await asyncio.gather(*(_host(site, name) for name in site.names)))


async def _host(site: Site, name: str) -> HostView:
    plane = name in site.control_planes
    try:
        told = await keep(site, name, "look")
    except HostError as error:
        return HostView(name, plane, error=str(error).removeprefix(f"{name}: "))
    return HostView(
        name,
        plane,
        release=told["release"],
        releases=tuple(told["releases"]),
        kept=tuple(told["kept"]),
        disk_free=told["disk_free"],
        certificates=_ends(told),
    )


def _ends(told: dict[str, Any]) -> dict[str, datetime.datetime]:
    pems = {path: text.encode() for path, text in told["certificates"].items()}
    for path, text in told["kubeconfigs"].items():
        try:
            pems[path] = base64.b64decode(text)
        except binascii.Error:
            continue  # a kubeconfig of somebody's with a certificate in a file
    found = {}
    for path, pem in pems.items():
        if pem.startswith(b"-----BEGIN CERTIFICATE"):
            found[path] = min(c.not_valid_after_utc for c in x509.load_pem_x509_certificates(pem))
    return found


async def cluster(site: Site, api: Api, *, etcd: bool = True) -> ClusterView:
    """Nodes, servers, workloads and, if asked, etcd. Raises ApiError and Unreachable when no API server answers."""
    listing = asyncio.gather(
        api.client.list(kinds.NODES),
        api.client.list(kinds.PODS, "kube-system"),
        *(api.client.list(kind) for kind in _WORKLOADS),
    )
    servers = {name: _server(client) for name, client in api.servers.items()}
    (nodes, pods, *workloads), answers, (members, error) = await asyncio.gather(
        listing, asyncio.gather(*servers.values()), _etcd(site) if etcd else _not_asked()
    )
    return ClusterView(
        {node["metadata"]["name"]: node for node in nodes.items},
        dict(zip(servers, answers, strict=True)),
        pods.items,
        [item for listed in workloads for item in listed.items],
        members,
        error,
    )


async def _server(client: Client) -> str:
    try:
        await client.request("GET", "/readyz")
        version: dict[str, str] = await client.request("GET", "/version")
    except (ApiError, Unreachable) as error:
        return f"!{error}"
    return version["gitVersion"]


async def _not_asked() -> tuple[list[MemberView], str]:
    return [], "not asked"


async def _etcd(site: Site) -> tuple[list[MemberView], str]:
    """Members as the first control plane that answers lists them, each with its health."""
    addresses = {host.address: host.name for host in site.spec.control_planes}
    urls = [f"https://[{a}]:2379" if ":" in a else f"https://{a}:2379" for a in addresses]
    failures = []
    for name in site.control_planes:
        try:
            # Its exit code tells that some member is not healthy, which is in the answer too.
            health = await site.run(name, f"{_ETCDCTL} --endpoints={','.join(urls)} endpoint health || true")
            listed = await site.run(name, f"{_ETCDCTL} --endpoints={urls[0]},{','.join(urls)} member list")
            return _members(json.loads(listed), json.loads(health or "[]"), addresses), ""
        except (HostError, ValueError) as error:
            failures.append(str(error))
    return [], "; ".join(failures)


def _members(
    listed: dict[str, Any], health: list[dict[str, Any]], addresses: dict[str, str]
) -> list[MemberView]:
    sick = {}
    for entry in health:
        address = entry["endpoint"].removeprefix("https://").rpartition(":")[0].strip("[]")
        if not entry.get("health") and address in addresses:
            sick[addresses[address]] = entry.get("error") or "it does not answer"
    found = [Member.from_json(entry) for entry in listed["members"]]
    return [
        MemberView(m.name or m.peer_urls[0], m.learner, sick.get(m.name, "") if m.name else "has not started")
        for m in found
    ]
