"""A node's agent changes its own node, its own pods, its own Lease, and nothing else."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator

from cryptography import x509
from cryptography.x509.oid import NameOID

from kdist.api import features as gates
from kdist.api import meta
from kdist.api.features import Features
from kdist.api.kinds import NODES, PODS
from kdist.apiserver.admission import tokenaudiences
from kdist.apiserver.admission.base import CHANGES, Plugin, Request, is_mirror_pod, targets
from kdist.apiserver.authz.authorizer import Authorizer
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


# What an agent may say about a claim in its status.
_CLAIM_STATUS = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")
_NODE_SIGNERS = ("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet")


class NodeRestriction(Plugin):
    """Looks only at requests of members of system:nodes."""

    targets = (
        targets(
            "pods", "pods/status", "pods/eviction", "pods/binding", "pods/ephemeralcontainers", "pods/resize"
        )
        | targets("nodes", "nodes/status", "serviceaccounts/token")
        | targets("persistentvolumeclaims", "persistentvolumeclaims/status")
        | targets("leases", group="coordination.k8s.io")
        | targets("csinodes", group="storage.k8s.io")
        | targets("certificatesigningrequests", group="certificates.k8s.io")
    )
    operations = CHANGES

    def __init__(
        self, reader: Reader, writer: Writer, authorizer: Authorizer, features: Features = gates.DEFAULT
    ) -> None:
        self._reader, self._writer, self._authorizer = reader, writer, authorizer
        self._bounds_audiences = features("ServiceAccountNodeAudienceRestriction")

    async def admit(self, request: Request) -> None:
        """Refuse what is not the node's own."""
        node = request.user.node_name
        if node is None:
            return
        match request.target[1].partition("/")[0]:
            case "pods":
                await self._pod(request, node)
            case "nodes":
                _node(request, node)
            case "serviceaccounts":
                await self._token(request, node)
            case "persistentvolumeclaims":
                _claim(request, node)
            case "leases":
                _lease(request, node)
            case "csinodes":
                _named(request, node, "CSINode")
            case "certificatesigningrequests":
                _certificate(request, node)

    async def _pod(self, request: Request, node: str) -> None:
        match request.subresource:
            case "":
                await self._whole_pod(request, node)
            case "status":
                _pod_status(request, node)
            case "eviction":
                name = request.name or meta.name(request.body)
                pod = await self._writer.get(PODS, request.namespace, name)
                if meta.get(pod, "spec.nodeName", "") != node:
                    told = f"node {node} can only evict pods with spec.nodeName set to itself"
                    raise request.forbidden(told)
            case other:
                told = f"unexpected pod subresource \"{other}\", only 'status' and 'eviction' are allowed"
                raise request.forbidden(told)

    async def _whole_pod(self, request: Request, node: str) -> None:
        if request.verb == "create":
            _mirror_pod(request, node)
            await self._owner(request, node)
        elif request.verb == "delete":
            if meta.get(request.before, "spec.nodeName", "") != node:
                told = f'node "{node}" can only delete pods with spec.nodeName set to itself'
                raise request.forbidden(told)
        else:
            verb = request.verb.upper()
            told = f'unexpected operation "{verb}", node "{node}" can only create and delete mirror pods'
            raise request.forbidden(told)

    async def _owner(self, request: Request, node: str) -> None:
        """A mirror pod goes with its node: that one, not an older one of its name."""
        owner = request.body["metadata"]["ownerReferences"][0]
        found = self._reader.get(NODES, None, node) or await self._writer.get(NODES, None, node)
        if owner.get("uid") != meta.uid(found):
            told = f"node {node} UID mismatch: expected {owner.get('uid')} got {meta.uid(found)}"
            raise request.forbidden(told)

    async def _token(self, request: Request, node: str) -> None:
        ref = meta.get(request.body, "spec.boundObjectRef") or {}
        if (ref.get("apiVersion"), ref.get("kind")) != ("v1", "Pod") or not ref.get("name"):
            raise request.forbidden("node requested token not bound to a pod")
        if not ref.get("uid"):
            raise request.forbidden("node requested token with a pod binding without a uid")
        pod = self._reader.get(PODS, request.namespace, ref["name"])
        if pod is None:
            pod = await self._writer.get(PODS, request.namespace, ref["name"])
        if meta.uid(pod) != ref["uid"]:
            told = (
                f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
            raise request.forbidden(told)
        if meta.get(pod, "spec.nodeName", "") != node:
            raise request.forbidden("node requested token bound to a pod scheduled on a different node")
        if self._bounds_audiences:
            await tokenaudiences.check(request, pod, self._reader, self._authorizer)


def _pod_status(request: Request, node: str) -> None:
    old, new = request.before, request.body
    if meta.get(old, "spec.nodeName", "") != node:
        told = f'node "{node}" can only update pod status for pods with spec.nodeName set to itself'
        raise request.forbidden(told)
    if meta.labels(new) != meta.labels(old):
        raise request.forbidden(f'node "{node}" cannot update labels through pod status')
    claims = "status.resourceClaimStatuses"
    if (meta.get(old, claims) or []) != (meta.get(new, claims) or []):
        raise request.forbidden(f'node "{node}" cannot update resource claim statues')


def _mirror_pod(request: Request, node: str) -> None:
    pod = request.body
    if not is_mirror_pod(pod):
        annotation = "kubernetes.io/config.mirror"
        told = f'pod does not have "{annotation}" annotation, node "{node}" can only create mirror pods'
        raise request.forbidden(told)
    if meta.get(pod, "spec.nodeName", "") != node:
        raise request.forbidden(f'node "{node}" can only create pods with spec.nodeName set to itself')
    for told in (*_owner_faults(pod, node), *_reference_faults(pod)):
        raise request.forbidden(f'node "{node}" {told}')


def _owner_faults(pod: Obj, node: str) -> Iterator[str]:
    owners = pod["metadata"].get("ownerReferences") or []
    if len(owners) > 1:
        yield "can only create pods with a single owner reference set to itself"
    if not owners:
        yield "can only create pods with an owner reference set to itself"
        return
    owner = owners[0]
    if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
        yield "can only create pods with an owner reference set to itself"
    if not owner.get("controller"):
        yield "can only create pods with a controller owner reference set to itself"
    if owner.get("blockOwnerDeletion"):
        yield "must not set blockOwnerDeletion on an owner reference"


def _reference_faults(pod: Obj) -> Iterator[str]:
    """A mirror pod brings the node no rights: it refers to nothing that the API keeps."""
    spec = pod.get("spec") or {}
    referred = {resource for resource, _, _ in pod_references(pod)}
    if spec.get("serviceAccountName"):
        yield "can not create pods that reference a service account"
    for resource in ("secrets", "configmaps"):
        if resource in referred:
            yield f"can not create pods that reference {resource}"
    for volume in spec.get("volumes") or ():
        if any(source.get("clusterTrustBundle") for source in meta.get(volume, "projected.sources", ())):
            yield "can not create pods that reference clustertrustbundles"
    if "persistentvolumeclaims" in referred:
        yield "can not create pods that reference persistentvolumeclaims"
    if spec.get("resourceClaims"):
        yield "can not create pods that reference resourceclaims"


def _node(request: Request, node: str) -> None:
    name = request.name or meta.name(request.body)
    if name != node:
        raise request.forbidden(f'node "{node}" is not allowed to modify node "{name}"')
    if request.verb == "delete":
        return
    old, new = request.old if request.old is not None else {}, request.body
    source = meta.get(new, "spec.configSource")
    if request.verb == "create" and source:
        raise request.forbidden(f'node "{node}" is not allowed to create pods with a non-nil configSource')
    bad = ", ".join(sorted(_forbidden_labels(meta.labels(old), meta.labels(new))))
    if request.verb == "create":
        if bad:
            raise request.forbidden(f'node "{node}" is not allowed to set the following labels: {bad}')
        return
    if source and source != meta.get(old, "spec.configSource"):
        told = f'node "{node}" is not allowed to update configSource to a new non-nil configSource'
        raise request.forbidden(told)
    if (meta.get(old, "spec.taints") or []) != (meta.get(new, "spec.taints") or []):
        raise request.forbidden(f'node "{node}" is not allowed to modify taints')
    if meta.get(old, "metadata.ownerReferences") != meta.get(new, "metadata.ownerReferences"):
        raise request.forbidden(f'node "{node}" is not allowed to modify ownerReferences')
    if bad:
        raise request.forbidden(f"is not allowed to modify labels: {bad}")


def _forbidden_labels(old: dict[str, str], new: dict[str, str]) -> Iterator[str]:
    return (label for label in _changed(old, new) if not _may_label(label))


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


def _claim(request: Request, node: str) -> None:
    if request.subresource != "status":
        raise request.forbidden("may only update PVC status")
    if _beside_status(request.before) != _beside_status(request.body):
        told = (
            f'node "{node}" is not allowed to update fields other than status.quantity and status.conditions'
        )
        raise request.forbidden(told)


def _beside_status(claim: Obj) -> Obj:
    """A claim without what an agent may change."""
    metadata = {k: v for k, v in claim["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    status = {k: v for k, v in (claim.get("status") or {}).items() if k not in _CLAIM_STATUS}
    return {**claim, "metadata": metadata, "status": status}


def _lease(request: Request, node: str) -> None:
    if request.namespace != LEASE_NAMESPACE:
        raise request.forbidden(f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
    _named(request, node, "node lease")


def _named(request: Request, node: str, what: str) -> None:
    name = meta.name(request.body) if request.verb == "create" else request.name or meta.name(request.before)
    if name != node:
        raise request.forbidden(f"can only access {what} with the same name as the requesting node")


def _certificate(request: Request, node: str) -> None:
    """Certificates of nodes are asked for in the node's own name."""
    spec = meta.get(request.obj, "spec", {}) if request.verb == "create" else {}
    if spec.get("signerName") not in _NODE_SIGNERS:
        return
    try:
        subject = x509.load_pem_x509_csr(base64.b64decode(spec.get("request", ""))).subject
    except ValueError as error:
        raise request.forbidden(f"unable to parse csr: {error}") from error
    names = [str(n.value) for n in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [f"system:node:{node}"]:
        raise request.forbidden(f"can only create a node CSR with CN=system:node:{node}")
