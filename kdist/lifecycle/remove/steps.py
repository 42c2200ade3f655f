"""Removing hosts, step by step. Each step may be done already: a removal that was cut off is started again.

Order: what may be undone comes first. Drain; end the etcd membership, so that the cluster counts on the host no more;
stop the agent; have the certificates that the node has now refused, so that it does not register again whenever it is
switched on; delete what the cluster keeps of the node; clean the host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from kdist.api import kinds, meta, removednodes
from kdist.api.errors import AlreadyExists, Conflict, NotFound
from kdist.api.kinds import Kind
from kdist.api.meta import Obj
from kdist.client.rest import Client
from kdist.lifecycle.join.names import common_name
from kdist.lifecycle.operation.remote import HostError
from kdist.lifecycle.operation.site import Site
from kdist.lifecycle.remove import etcd, plan
from kdist.lifecycle.remove.plan import Belongings, Leaving
from kdist.lifecycle.upgrade import drain

_NODE = "system:node:"
_LEASES = "kube-node-lease"
_REACH_SECONDS = 15
# Where the agent is not installed there is nothing to stop.
_STOP = "systemctl disable --now kdist-agent 2>/dev/null || ! systemctl cat kdist-agent >/dev/null 2>&1"

_ADVICE = "make room for the budgets or raise --timeout, then remove it again; it takes pods again meanwhile"

Tell = Callable[[str, str], None]


class Refused(Exception):
    """The hosts may not be removed; the text says why."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that a removal is decided on."""

    leaving: tuple[Leaving, ...]
    bound: dict[str, Belongings]
    etcd: etcd.Etcd | None
    """None when no control plane leaves."""


async def observe(site: Site, client: Client, names: Sequence[str]) -> Observed:
    """Look at the hosts that leave, and at nobody else's host but a control plane's. Raises HostError, ApiError."""
    nodes = (await client.list(kinds.NODES)).items
    reachable = await asyncio.gather(*(_reachable(site, name) for name in names))
    leaving = [_leaving(site, name, nodes, ssh) for name, ssh in zip(names, reachable, strict=True)]
    pods = (await client.list(kinds.PODS)).items
    volumes = (await client.list(kinds.PERSISTENT_VOLUMES)).items
    attachments = (await client.list(kinds.VOLUME_ATTACHMENTS)).items
    csrs = (await client.list(kinds.CERTIFICATE_SIGNING_REQUESTS)).items
    about = {meta.name(csr): _about(csr) for csr in csrs}
    bound = {n: plan.belongings(n, pods, volumes, attachments, about, nodes) for n in names}
    found = None
    if any(host.control_plane for host in leaving):
        staying = [name for name in site.control_planes if name not in names]
        if not staying:
            raise Refused("no control plane would be left; `kdist reset` takes a whole cluster away")
        found = await etcd.look(site, staying)
        if told := plan.refusals(leaving, staying, found.members, found.healthy):
            raise Refused("\n".join(told))
        leaving = plan.in_order(leaving, found.members, found.healthy)
    return Observed(tuple(leaving), bound, found)


async def _reachable(site: Site, name: str) -> bool:
    try:
        await site.run(name, "true", timeout=_REACH_SECONDS)
    except HostError as error:
        return error.reached
    return True


def _leaving(site: Site, name: str, nodes: Iterable[Obj], reachable: bool) -> Leaving:
    node = next((n for n in nodes if meta.name(n) == name), None)
    plane = name in site.control_planes
    alive = node is not None and plan.reports(node)
    return Leaving(name, site.address(name), plane, reachable, alive, registered=node is not None)


def _about(csr: Obj) -> str:
    user = str(csr["spec"].get("username", ""))
    subject = user if user.startswith(_NODE) else common_name(csr)
    return subject.removeprefix(_NODE) if subject.startswith(_NODE) else ""


async def remove(
    site: Site, client: Client, host: Leaving, bound: Belongings, timeout: float, tell: Tell
) -> None:
    """Everything up to the node's end. Raises DrainFailed (nothing is left cordoned), HostError, ApiError."""
    if host.registered and not await _empty(client, host, bound, timeout, tell):
        host = replace(host, alive=False)
    if host.control_plane:
        await _leave_etcd(site, host, tell)
    if host.reachable:
        tell(host.name, "stopping its agent")
        await site.run(host.name, _STOP)
    tell(host.name, "deleting what the cluster keeps of it")
    await refuse(client, host.name)
    await forget(client, host, bound)


async def _empty(client: Client, host: Leaving, bound: Belongings, timeout: float, tell: Tell) -> bool:
    """False when nobody is there to end the host's pods: they are deleted with the node."""
    await drain.cordon(client, host.name, "remove")
    if not host.alive:
        return False

    def told(text: str) -> None:
        tell(host.name, f"draining: {text}")

    try:
        await drain.drain(client, host.name, timeout=timeout, tell=told, for_good=True, advice=_ADVICE)
    except drain.NodeLost:
        return False
    except drain.DrainFailed:
        await drain.uncordon(client, host.name)
        raise
    return True


async def _leave_etcd(site: Site, host: Leaving, tell: Tell) -> None:
    staying = [name for name in site.control_planes if name != host.name]
    found = await etcd.look(site, staying)
    member = plan.member_of(host.name, host.address, found.members)
    if member is None:
        return
    if told := plan.refusals([host], staying, found.members, found.healthy):
        raise Refused("\n".join(told))  # it has changed since it was looked at
    tell(host.name, "ending its membership of etcd")
    await etcd.end(site, found, member)


async def refuse(client: Client, node: str) -> None:
    """Have the certificates that the node has now refused; the moment is the API server's, as that of their issue."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = await client.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review)
    wanted = removednodes.secret(node, answer["metadata"]["creationTimestamp"])
    try:
        await client.create(kinds.SECRETS, wanted)
    except AlreadyExists:  # it was removed before; whether it has asked since is another story
        changed = {"data": wanted["data"], "metadata": {"annotations": {removednodes.ASKED: None}}}
        await client.patch(kinds.SECRETS, removednodes.name(node), changed, removednodes.NAMESPACE)


async def forget(client: Client, host: Leaving, bound: Belongings) -> None:
    """Delete the node and everything that would outlive it."""
    if not host.alive:
        for pod in bound.pods:
            namespace, name = meta.split_key(pod.key)
            await _delete(client, kinds.PODS, name, namespace, grace_seconds=0)
    for name in bound.attachments:
        await _detach(client, name)
    for name in bound.requests:
        await _delete(client, kinds.CERTIFICATE_SIGNING_REQUESTS, name)
    await _delete(client, kinds.NODES, host.name)
    await _delete(client, kinds.CSI_NODES, host.name)
    await _delete(client, kinds.LEASES, host.name, _LEASES)


async def _detach(client: Client, name: str) -> None:
    """The driver of a host that is gone cannot take its finalizer off."""
    try:
        await client.patch(kinds.VOLUME_ATTACHMENTS, name, {"metadata": {"finalizers": None}})
        await client.delete(kinds.VOLUME_ATTACHMENTS, name)
    except (Conflict, NotFound):
        return


async def _delete(
    client: Client, kind: Kind, name: str, namespace: str | None = None, *, grace_seconds: int | None = None
) -> None:
    try:
        await client.delete(kind, name, namespace, grace_seconds=grace_seconds)
    except NotFound:
        return
