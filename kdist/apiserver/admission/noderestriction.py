"""A node's agent changes its own node, its own pods, its own Lease, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from kdist.api import errors, meta
from kdist.api.kinds import PODS
from kdist.apiserver.admission.base import CHANGES, Plugin, Request, is_mirror_pod
from kdist.apiserver.authz.node import LEASE_NAMESPACE
from kdist.apiserver.authz.nodegraph import pod_references
from kdist.apiserver.ports import Obj, Reader, Writer

# Labels of kubernetes.io and k8s.io that an agent may set on its node; node.kubernetes.io/* and
# kubelet.kubernetes.io/* besides.
_LABELS = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
    }
)
_LABEL_DOMAINS = ("node.kubernetes.io", "kubelet.kubernetes.io")


class NodeRestriction(Plugin):
    """Looks only at requests of members of system:nodes."""

    targets = frozenset(
        {
            ("", "pods"),
            ("", "pods/status"),
            ("", "pods/eviction"),
            ("", "nodes"),
            ("", "nodes/status"),
            ("", "serviceaccounts/token"),
            ("coordination.k8s.io", "leases"),
            ("storage.k8s.io", "csinodes"),
        }
    )
    operations = CHANGES

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader, self._writer = reader, writer

    async def admit(self, request: Request) -> None:
        """Refuse what is not the node's own."""
        node = request.user.node_name
        if node is None:
            return
        match request.target[1]:
            case "pods" | "pods/status" | "pods/eviction":
                await self._pod(request, node)
            case "nodes" | "nodes/status":
                _node(request, node)
            case "serviceaccounts/token":
                await self._token(request, node)
            case "leases":
                _named(request, node, LEASE_NAMESPACE)
            case "csinodes":
                _named(request, node, "")

    async def _pod(self, request: Request, node: str) -> None:
        if request.subresource == "" and request.verb == "create":
            _mirror_pod(request, node)
            return
        pod = request.old
        if request.subresource == "eviction":
            pod = await self._writer.get(PODS, request.namespace, request.name or meta.name(request.body))
        if meta.get(pod, "spec.nodeName", "") != node:
            raise request.forbidden(
                f'node "{node}" can only {request.verb} pods with spec.nodeName set to itself'
            )
        if request.subresource == "status" and meta.labels(request.body) != meta.labels(request.before):
            raise request.forbidden(f'node "{node}" cannot update labels through pod status')

    async def _token(self, request: Request, node: str) -> None:
        ref = meta.get(request.body, "spec.boundObjectRef") or {}
        if ref.get("kind") != "Pod" or not ref.get("name"):
            raise request.forbidden("node requested token not bound to a pod")
        if not ref.get("uid"):
            raise request.forbidden("node requested token with a pod binding without a uid")
        pod = self._reader.get(PODS, request.namespace, ref["name"])
        if pod is None:
            pod = await self._pod_or_refuse(request, ref["name"])
        if meta.uid(pod) != ref["uid"]:
            raise request.forbidden(f"the UID in the bound object reference ({ref['uid']}) does not match")
        if meta.get(pod, "spec.nodeName", "") != node:
            raise request.forbidden("node requested token bound to a pod scheduled on a different node")

    async def _pod_or_refuse(self, request: Request, name: str) -> Obj:
        try:
            return await self._writer.get(PODS, request.namespace, name)
        except errors.NotFound as error:
            raise request.forbidden(f'pod "{name}" not found') from error


def _mirror_pod(request: Request, node: str) -> None:
    pod = request.body
    if not is_mirror_pod(pod):
        raise request.forbidden(f'pod does not have "kubernetes.io/config.mirror" annotation, node "{node}" can only create mirror pods')  # fmt: skip  # noqa: E501
    if meta.get(pod, "spec.nodeName", "") != node:
        raise request.forbidden(f'node "{node}" can only create pods with spec.nodeName set to itself')
    for owner in pod["metadata"].get("ownerReferences") or ():
        if (owner.get("kind"), owner.get("name")) != ("Node", node):
            raise request.forbidden(
                f'node "{node}" can only create pods with an owner reference set to itself'
            )
    referred = {resource for resource, _, _ in pod_references(pod)}
    if referred:
        raise request.forbidden(
            f'node "{node}" can not create pods that reference {", ".join(sorted(referred))}'
        )


def _node(request: Request, node: str) -> None:
    if (request.name or meta.name(request.body)) != node:
        raise request.forbidden(f'node "{node}" is not allowed to modify node "{request.name}"')
    if request.verb == "delete":
        return
    old = request.old if request.old is not None else {}
    changed = _changed(meta.labels(old), meta.labels(request.body))
    bad = sorted(label for label in changed if not _may_label(label))
    if bad:
        raise request.forbidden(f"is not allowed to modify labels: {', '.join(bad)}")
    if request.verb == "update" and request.subresource == "":
        if (meta.get(old, "spec.taints") or []) != (meta.get(request.body, "spec.taints") or []):
            raise request.forbidden(f'node "{node}" is not allowed to modify taints')
        if meta.get(old, "metadata.ownerReferences") != meta.get(request.body, "metadata.ownerReferences"):
            raise request.forbidden(f'node "{node}" is not allowed to modify its owner references')


def _changed(old: dict[str, str], new: dict[str, str]) -> Iterable[str]:
    return (key for key in {**old, **new} if old.get(key) != new.get(key))


def _may_label(label: str) -> bool:
    domain, slash, _ = label.partition("/")
    if not slash or label in _LABELS:
        return True
    if _within(domain, ("node-restriction.kubernetes.io",)):
        return False
    if not _within(domain, ("kubernetes.io", "k8s.io")):
        return True
    return _within(domain, _LABEL_DOMAINS)


def _within(domain: str, parents: Iterable[str]) -> bool:
    return any(domain == parent or domain.endswith("." + parent) for parent in parents)


def _named(request: Request, node: str, namespace: str) -> None:
    name = request.name or (meta.name(request.obj) if request.obj is not None else "")
    if name != node:
        raise request.forbidden(
            f'can only access {request.resource.plural} with the same name as the node "{node}"'
        )
    if request.namespace != namespace:
        raise request.forbidden(f"can only access {request.resource.plural} in the namespace {namespace}")
