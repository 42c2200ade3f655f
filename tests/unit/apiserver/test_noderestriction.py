"""What an agent may write: its own node, mirror pods and their status, its own tokens, leases and certificates."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kdist.api.errors import Forbidden, not_found
from kdist.api.features import Features
from kdist.api.kinds import (
    CERTIFICATE_SIGNING_REQUESTS,
    CSI_NODES,
    LEASES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SERVICE_ACCOUNTS,
    Kind,
)
from kdist.apiserver.admission.base import Operation, Request
from kdist.apiserver.admission.noderestriction import NodeRestriction
from kdist.apiserver.authn.user import User
from kdist.apiserver.authz.authorizer import Authorizer

W1 = User("system:node:w1", groups=("system:nodes",))
Obj = dict[str, Any]


class Objects:
    def __init__(self) -> None:
        self.found: dict[tuple[str, str | None, str], Obj] = {
            ("nodes", None, "w1"): {"metadata": {"name": "w1", "uid": "n1"}},
            ("pods", "ns", "mine"): {"metadata": {"name": "mine", "uid": "p1"}, "spec": {"nodeName": "w1"}},
            ("pods", "ns", "audible"): {
                "metadata": {"name": "audible", "namespace": "ns", "uid": "p3"},
                "spec": {
                    "nodeName": "w1",
                    "volumes": [
                        {
                            "name": "t",
                            "projected": {"sources": [{"serviceAccountToken": {"audience": "vault"}}]},
                        },
                        {"name": "d", "persistentVolumeClaim": {"claimName": "c"}},
                    ],
                },
            },
            ("persistentvolumeclaims", "ns", "c"): {"metadata": {"name": "c"}, "spec": {"volumeName": "v"}},
            ("persistentvolumes", None, "v"): {"metadata": {"name": "v"}, "spec": {"csi": {"driver": "d"}}},
            ("csidrivers", None, "d"): {"spec": {"tokenRequests": [{"audience": "disks"}]}},
            ("pods", "ns", "other"): {"metadata": {"name": "other", "uid": "p2"}, "spec": {"nodeName": "w2"}},
        }

    def list(self, kind: Kind, namespace: str | None = None) -> list[Obj]:
        return []

    def on_change(self, kind: Kind, callback: Any) -> None:
        pass

    def get(self, kind: Kind, namespace: str | None, name: str) -> Obj | None:
        return self.found.get((kind.plural, namespace, name))


class Registry(Objects):
    async def get(self, kind: Kind, namespace: str | None, name: str) -> Obj:  # type: ignore[override]
        found = super().get(kind, namespace, name)
        if found is None:
            raise not_found(kind.group, kind.plural, name)
        return found


async def admitted(
    kind: Kind,
    verb: Operation,
    obj: Obj | None = None,
    old: Obj | None = None,
    *,
    name: str = "",
    namespace: str = "ns",
    subresource: str = "",
    user: User = W1,
    level: str = "1.32",
) -> str:
    """Why the write is refused; empty when it is not."""
    request = Request(
        user=user, verb=verb, resource=kind, subresource=subresource, namespace=namespace, name=name,
        obj=obj, old=old, dry_run=False,
    )  # fmt: skip
    objects = Objects()
    plugin = NodeRestriction(objects, Registry(), Authorizer(objects), Features(level))  # type: ignore[arg-type]
    assert request.target in plugin.targets
    try:
        await plugin.admit(request)
    except Forbidden as error:
        return error.message
    return ""


def node(name: str = "w1", **rest: Any) -> Obj:
    labels = rest.pop("labels", {})
    return {"metadata": {"name": name, "labels": labels}, **rest}


def mirror(**spec: Any) -> Obj:
    owner = {"apiVersion": "v1", "kind": "Node", "name": "w1", "uid": "n1", "controller": True}
    metadata = {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": [owner]}
    return {"metadata": metadata, "spec": {"nodeName": "w1", **spec}}


async def test_others_are_not_looked_at() -> None:
    assert await admitted(NODES, "create", node("w2"), name="w2", user=User("jane")) == ""


async def test_a_node_writes_itself_and_no_other() -> None:
    assert await admitted(NODES, "create", node(), name="w1") == ""
    told = await admitted(NODES, "update", node("w2"), node("w2"), name="w2")
    assert 'node "w1" is not allowed to modify node "w2"' in told


@pytest.mark.parametrize(
    ("label", "fine"),
    [
        ("example.com/a", True),
        ("kubernetes.io/hostname", True),
        ("topology.kubernetes.io/zone", True),
        ("node.kubernetes.io/anything", True),
        ("sub.kubelet.kubernetes.io/anything", True),
        ("node-restriction.kubernetes.io/a", False),
        ("x.node-restriction.kubernetes.io/a", False),
        ("node-role.kubernetes.io/control-plane", False),
        ("apps.k8s.io/a", False),
    ],
)
async def test_a_node_sets_only_labels_that_grant_nothing(label: str, fine: bool) -> None:
    made = await admitted(NODES, "create", node(labels={label: "x"}), name="w1")
    assert (f"is not allowed to set the following labels: {label}" in made) is not fine
    changed = await admitted(NODES, "update", node(labels={label: "x"}), node(), name="w1")
    assert (f"is not allowed to modify labels: {label}" in changed) is not fine


async def test_a_node_does_not_change_its_taints_or_owners() -> None:
    tainted = node(spec={"taints": [{"key": "a", "effect": "NoSchedule"}]})
    assert "is not allowed to modify taints" in await admitted(NODES, "update", node(), tainted, name="w1")
    assert await admitted(NODES, "create", tainted, name="w1") == ""
    owned = node()
    owned["metadata"]["ownerReferences"] = [{"name": "x"}]
    assert "modify ownerReferences" in await admitted(NODES, "update", owned, node(), name="w1")


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, ""),
        ({"nodeName": "w2"}, "spec.nodeName set to itself"),
        ({"serviceAccountName": "a"}, "reference a service account"),
        ({"imagePullSecrets": [{"name": "s"}]}, "reference secrets"),
        ({"volumes": [{"configMap": {"name": "c"}}]}, "reference configmaps"),
        ({"volumes": [{"persistentVolumeClaim": {"claimName": "c"}}]}, "reference persistentvolumeclaims"),
        (
            {"volumes": [{"projected": {"sources": [{"clusterTrustBundle": {"path": "p"}}]}}]},
            "clustertrustbundles",
        ),
        ({"resourceClaims": [{"name": "r"}]}, "reference resourceclaims"),
    ],
)
async def test_a_mirror_pod_refers_to_nothing(spec: Obj, told: str) -> None:
    found = await admitted(PODS, "create", mirror(**spec))
    assert told in found
    assert bool(found) is bool(told)


@pytest.mark.parametrize(
    ("owner", "told"),
    [
        ({"name": "w2"}, "an owner reference set to itself"),
        ({"controller": False}, "a controller owner reference set to itself"),
        ({"blockOwnerDeletion": True}, "must not set blockOwnerDeletion"),
        ({"uid": "older"}, "node w1 UID mismatch: expected older got n1"),
    ],
)
async def test_a_mirror_pod_is_owned_by_its_node(owner: Obj, told: str) -> None:
    pod = mirror()
    pod["metadata"]["ownerReferences"][0].update(owner)
    assert told in await admitted(PODS, "create", pod)


async def test_other_pods_are_not_created_and_only_its_own_deleted() -> None:
    pod = mirror()
    del pod["metadata"]["annotations"]
    assert "can only create mirror pods" in await admitted(PODS, "create", pod)
    pod = mirror()
    pod["metadata"]["ownerReferences"] = []
    assert "an owner reference set to itself" in await admitted(PODS, "create", pod)
    assert await admitted(PODS, "delete", old=mirror(), name="m") == ""
    assert "can only delete pods" in await admitted(PODS, "delete", old=mirror(nodeName="w2"), name="m")
    assert "can only create and delete mirror pods" in await admitted(
        PODS, "update", mirror(), mirror(), name="m"
    )
    told = await admitted(PODS, "create", mirror(), name="m", subresource="binding")
    assert "unexpected pod subresource" in told


async def test_a_node_tells_the_status_of_its_pods_and_nothing_else() -> None:
    assert await admitted(PODS, "update", mirror(), mirror(), name="m", subresource="status") == ""
    other = mirror(nodeName="w2")
    told = await admitted(PODS, "update", other, other, name="m", subresource="status")
    assert "can only update pod status" in told
    labelled = mirror()
    labelled["metadata"]["labels"] = {"a": "b"}
    told = await admitted(PODS, "update", labelled, mirror(), name="m", subresource="status")
    assert "cannot update labels through pod status" in told


async def test_a_node_evicts_its_own_pods() -> None:
    eviction = {"metadata": {"name": "mine"}}
    assert await admitted(PODS, "create", eviction, name="mine", subresource="eviction") == ""
    told = await admitted(PODS, "create", eviction, name="other", subresource="eviction")
    assert "can only evict pods with spec.nodeName set to itself" in told


@pytest.mark.parametrize(
    ("ref", "told"),
    [
        ({"name": "mine", "uid": "p1"}, ""),
        ({"name": "mine", "uid": "p1", "kind": "Secret"}, "not bound to a pod"),
        ({"name": "mine", "uid": "p1", "apiVersion": "v2"}, "not bound to a pod"),
        ({"name": "mine"}, "a pod binding without a uid"),
        ({"name": "mine", "uid": "older"}, "does not match the UID in record"),
        ({"name": "other", "uid": "p2"}, "a pod scheduled on a different node"),
    ],
)
async def test_a_node_asks_for_tokens_of_its_pods(ref: Obj, told: str) -> None:
    request = {"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", **ref}}}
    found = await admitted(SERVICE_ACCOUNTS, "create", request, name="default", subresource="token")
    assert told in found
    assert bool(found) is bool(told)


async def test_a_node_tells_what_it_did_to_a_claim_and_nothing_else() -> None:
    def claim(**status: Any) -> Obj:
        return {
            "metadata": {"name": "c", "resourceVersion": "1"},
            "spec": {"volumeName": "v"},
            "status": status,
        }

    async def update(new: Obj, subresource: str = "status") -> str:
        old = claim(phase="Bound")
        return await admitted(PERSISTENT_VOLUME_CLAIMS, "update", new, old, name="c", subresource=subresource)

    assert await update(claim(phase="Bound", capacity={"storage": "2Gi"}, conditions=[{"type": "x"}])) == ""
    assert "is not allowed to update fields other than" in await update(claim(phase="Lost"))
    assert "may only update PVC status" in await update(claim(phase="Bound"), "")


async def test_leases_and_csi_nodes_have_the_nodes_name() -> None:
    own = {"metadata": {"name": "w1"}}
    assert await admitted(LEASES, "create", own, namespace="kube-node-lease") == ""
    told = await admitted(LEASES, "update", own, own, name="w1", namespace="kube-system")
    assert 'can only access leases in the "kube-node-lease" system namespace' in told
    told = await admitted(LEASES, "update", own, own, name="w2", namespace="kube-node-lease")
    assert "can only access node lease with the same name" in told
    assert await admitted(CSI_NODES, "create", own, namespace="") == ""
    told = await admitted(CSI_NODES, "create", {"metadata": {"name": "w2"}}, namespace="")
    assert "can only access CSINode with the same name" in told


@pytest.mark.parametrize(
    ("signer", "name", "told"),
    [
        ("kubernetes.io/kube-apiserver-client-kubelet", "system:node:w1", ""),
        (
            "kubernetes.io/kubelet-serving",
            "system:node:w2",
            "can only create a node CSR with CN=system:node:w1",
        ),
        ("example.com/other", "anybody", ""),
    ],
)
async def test_a_node_asks_for_certificates_in_its_own_name(signer: str, name: str, told: str) -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject)
    signed = made.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    pem = base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()
    csr = {"metadata": {"name": "c"}, "spec": {"signerName": signer, "request": pem}}
    found = await admitted(CERTIFICATE_SIGNING_REQUESTS, "create", csr, namespace="")
    assert told in found
    assert bool(found) is bool(told)


@pytest.mark.parametrize(
    ("audiences", "told"),
    [
        (["vault"], ""),
        (["disks"], ""),
        ([], 'audience "" not found in pod spec volume'),
        (["other"], 'audience "other" not found in pod spec volume'),
        (["vault", "disks"], "node may only request 0 or 1 audiences"),
    ],
)
async def test_a_token_is_for_an_audience_that_the_pods_volumes_name(audiences: list[str], told: str) -> None:
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "audible", "uid": "p3"}
    wanted = {"spec": {"boundObjectRef": bound, "audiences": audiences}}
    place = {"name": "default", "subresource": "token"}
    newer = await admitted(SERVICE_ACCOUNTS, "create", wanted, level="1.33", **place)
    assert told in newer if told else not newer
    assert not await admitted(SERVICE_ACCOUNTS, "create", wanted, **place)
