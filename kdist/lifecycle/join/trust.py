"""What the cluster lets joining hosts do, and what it tells the world about itself. Pure.

Names of roles and bindings are those that kubeadm gives them, so that what an operator knows still holds.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import yaml

from kdist.api.meta import Obj
from kdist.lifecycle.join.tokens import GROUP

_RBAC = "rbac.authorization.k8s.io"
_CSR = "system:certificates.k8s.io:certificatesigningrequests"
INFO_NAMESPACE, INFO_NAME = "kube-public", "cluster-info"


def _group(name: str) -> dict[str, str]:
    return {"apiGroup": _RBAC, "kind": "Group", "name": name}


def _user(name: str) -> dict[str, str]:
    return {"apiGroup": _RBAC, "kind": "User", "name": name}


def _binding(name: str, role: str, *subjects: dict[str, str]) -> Obj:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
        "subjects": list(subjects),
    }


def policy() -> list[Obj]:
    """Who may ask for certificates of nodes, whose requests are approved, and who may read cluster-info."""
    info = "kubeadm:bootstrap-signer-clusterinfo"
    place = {"name": info, "namespace": INFO_NAMESPACE}
    return [
        _binding("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", _group(GROUP)),
        _binding("kubeadm:node-autoapprove-bootstrap", f"{_CSR}:nodeclient", _group(GROUP)),
        _binding(
            "kubeadm:node-autoapprove-certificate-rotation", f"{_CSR}:selfnodeclient", _group("system:nodes")
        ),
        _binding(
            "kdist:node-autoapprove-serving",
            "system:certificates.k8s.io:kubelet-serving-approver",
            _user("system:kube-controller-manager"),
        ),
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "Role",
            "metadata": place,
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["configmaps"],
                    "resourceNames": [INFO_NAME],
                    "verbs": ["get"],
                }
            ],
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": place,
            "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": info},
            # Hosts before they have a name, and nodes that follow the list of API servers.
            "subjects": [_user("system:anonymous"), _group("system:nodes")],
        },
    ]


def cluster_info(authority: bytes, servers: Sequence[str], vip: str | None) -> Obj:
    """The map that a host may believe once it is signed: the CA, and the servers in the order of the inventory."""
    cluster: dict[str, Any] = {
        "certificate-authority-data": base64.b64encode(authority).decode(),
        "server": vip or servers[0],
        "extensions": [{"name": "kdist.io/servers", "extension": {"servers": list(servers)}}],
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "", "cluster": cluster}],
        "contexts": [],
        "current-context": "",
        "preferences": {},
        "users": [],
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": INFO_NAME, "namespace": INFO_NAMESPACE},
        "data": {"kubeconfig": yaml.safe_dump(document, sort_keys=True)},
    }


def authority_hash(authority: bytes) -> str:
    """The pin of a CA as kubeadm writes it: ``sha256:`` and the hash of its public key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    public = x509.load_pem_x509_certificate(authority).public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(der).hexdigest()}"
