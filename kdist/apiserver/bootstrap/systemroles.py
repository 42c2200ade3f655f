"""The roles of the cluster's own components, and who holds them."""

from __future__ import annotations

from kdist.apiserver.authn.user import AUTHENTICATED, MASTERS, UNAUTHENTICATED
from kdist.apiserver.authz.node import node_rules
from kdist.apiserver.bootstrap.notation import (
    READ,
    Entry,
    allow_all,
    bind,
    group,
    paths,
    role,
    service_account,
    user,
)
from kdist.apiserver.ports import Obj

KUBE_CONTROLLER_MANAGER, KUBE_SCHEDULER = "system:kube-controller-manager", "system:kube-scheduler"
_EVENTS: Entry = ("core,events.k8s.io events", "create patch update")
_REVIEWS: tuple[Entry, ...] = (
    ("authentication.k8s.io tokenreviews", "create"),
    ("authorization.k8s.io subjectaccessreviews", "create"),
)
_HEALTH = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY = (*_HEALTH, "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*")
_CSR = "certificates.k8s.io certificatesigningrequests"
_SIGNERS = "kube-apiserver-client kube-apiserver-client-kubelet kubelet-serving legacy-unknown"

_ROLES: dict[str, tuple[Entry, ...]] = {
    "system:basic-user": (
        ("authorization.k8s.io selfsubjectaccessreviews,selfsubjectrulesreviews", "create"),
        ("authentication.k8s.io selfsubjectreviews", "create"),
    ),
    "system:auth-delegator": _REVIEWS,
    KUBE_CONTROLLER_MANAGER: (
        _EVENTS,
        ("coordination.k8s.io leases", "create"),
        ("coordination.k8s.io leases", "get update", "kube-controller-manager"),
        ("core secrets,serviceaccounts", "create"),
        ("core secrets", "delete"),
        ("core configmaps,namespaces,secrets,serviceaccounts", "get"),
        ("core secrets,serviceaccounts", "update"),
        *_REVIEWS,
        ("* *", "list watch"),
        ("core serviceaccounts/token", "create"),
    ),
    KUBE_SCHEDULER: (
        _EVENTS,
        ("coordination.k8s.io leases", "create"),
        ("coordination.k8s.io leases", "get update", "kube-scheduler"),
        ("core nodes,namespaces", READ),
        ("core pods", "delete get list watch"),
        ("core bindings,pods/binding", "create"),
        ("core pods/status", "patch update"),
        ("core replicationcontrollers,services", READ),
        ("apps replicasets,statefulsets", READ),
        ("policy poddisruptionbudgets", READ),
        ("scheduling.k8s.io priorityclasses", READ),
        ("core persistentvolumeclaims,persistentvolumes", READ),
        *_REVIEWS,
        ("storage.k8s.io csidrivers,csinodes,csistoragecapacities,storageclasses,volumeattachments", READ),
    ),
    "system:volume-scheduler": (
        ("core persistentvolumes", "get list patch update watch"),
        ("storage.k8s.io storageclasses", READ),
        ("core persistentvolumeclaims", "get list patch update watch"),
    ),
    "system:kube-dns": (
        ("core endpoints,services", "list watch"),
        ("discovery.k8s.io endpointslices", "list watch"),
    ),
    "system:node-proxier": (
        ("core services,endpoints", "list watch"),
        ("core nodes", READ),
        _EVENTS,
        ("discovery.k8s.io endpointslices", "list watch"),
        ("networking.k8s.io servicecidrs", "list watch"),
    ),
    "system:node-problem-detector": (
        ("core nodes", "get"),
        ("core nodes/status", "patch"),
        _EVENTS,
    ),
    "system:node-bootstrapper": ((_CSR, "create get list watch"),),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": ((f"{_CSR}/nodeclient", "create"),),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        (f"{_CSR}/selfnodeclient", "create"),
    ),
    "system:kubelet-api-admin": (
        ("core nodes", "get list watch proxy"),
        ("core nodes/log,nodes/metrics,nodes/proxy,nodes/stats", "*"),
    ),
    "system:kube-aggregator": (("core endpoints,services", READ),),
    "system:persistent-volume-provisioner": (
        ("core persistentvolumes", "create delete get list watch"),
        ("core persistentvolumeclaims", "get list update watch"),
        ("storage.k8s.io storageclasses", READ),
        ("core events", "watch"),
        _EVENTS,
    ),
    "system:service-account-issuer-discovery": (),
    "system:monitoring": (),
    **{
        f"system:certificates.k8s.io:{signer}-approver": (
            ("certificates.k8s.io signers", "approve", f"kubernetes.io/{signer}"),
        )
        for signer in _SIGNERS.split()
    },
}
_PATHS: dict[str, tuple[str, ...]] = {
    "system:service-account-issuer-discovery": (
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/",
        "/openid/v1/jwks",
        "/openid/v1/jwks/",
    ),
    "system:monitoring": (
        "/healthz",
        "/healthz/*",
        "/livez",
        "/livez/*",
        "/metrics",
        "/metrics/slis",
        "/readyz",
        "/readyz/*",
    ),
}


def system_roles() -> list[Obj]:
    """The cluster roles."""
    made = [
        role(name, [*allow_all(rules), *([paths(*_PATHS[name])] if name in _PATHS else [])])
        for name, rules in _ROLES.items()
    ]
    return [
        *made,
        role("system:discovery", [paths(*_DISCOVERY)]),
        role("system:public-info-viewer", [paths(*_HEALTH)]),
        role("system:node", node_rules()),
    ]


def system_bindings() -> list[Obj]:
    """Who holds them cluster-wide."""
    everybody = group("system:serviceaccounts")
    return [
        bind("cluster-admin", group(MASTERS)),
        bind("kubeadm:cluster-admins", group("kubeadm:cluster-admins"), to="cluster-admin"),
        bind("system:monitoring", group("system:monitoring")),
        bind("system:discovery", group(AUTHENTICATED)),
        bind("system:basic-user", group(AUTHENTICATED)),
        bind("system:public-info-viewer", group(AUTHENTICATED), group(UNAUTHENTICATED)),
        bind("system:service-account-issuer-discovery", everybody),
        bind("system:node-proxier", user("system:kube-proxy")),
        bind(KUBE_CONTROLLER_MANAGER, user(KUBE_CONTROLLER_MANAGER)),
        bind(KUBE_SCHEDULER, user(KUBE_SCHEDULER)),
        bind("system:volume-scheduler", user(KUBE_SCHEDULER)),
        bind("system:kube-dns", service_account("kube-dns")),
        # Nodes get their rights from the Node authorizer; the role is there for those who bind it.
        bind("system:node"),
    ]


def _locking(component: str) -> list[Obj]:
    """The right to hold a component's leader lock in kube-system."""
    name = f"system::leader-locking-{component}"
    entries: tuple[Entry, ...] = (
        ("core configmaps", "watch"),
        ("core configmaps", "get update", component),
        ("coordination.k8s.io leases", "create get update watch"),
    )
    subjects = (user(f"system:{component}"), service_account(component))
    return [
        role(name, allow_all(entries), "kube-system"),
        bind(name, *subjects, namespace="kube-system"),
    ]


def namespaced_roles() -> list[Obj]:
    """Roles and bindings inside kube-system and kube-public."""
    reader = "extension-apiserver-authentication-reader"
    config_map = allow_all([("core configmaps", READ, "extension-apiserver-authentication")])
    components = (user(KUBE_CONTROLLER_MANAGER), user(KUBE_SCHEDULER))
    signer: tuple[Entry, ...] = (("core configmaps", READ), ("core configmaps", "update", "cluster-info"))
    secrets: tuple[Entry, ...] = (("core secrets", READ),)
    cleaner: tuple[Entry, ...] = (("core secrets", f"{READ} delete"), _EVENTS)
    signer_name, cleaner_name = "system:controller:bootstrap-signer", "system:controller:token-cleaner"
    manager = user(KUBE_CONTROLLER_MANAGER)
    system, public = "kube-system", "kube-public"
    return [
        role(reader, config_map, system),
        bind("system::extension-apiserver-authentication-reader", *components, to=reader, namespace=system),
        *_locking("kube-controller-manager"),
        *_locking("kube-scheduler"),
        role(signer_name, allow_all(secrets), system),
        bind(signer_name, service_account("bootstrap-signer"), manager, namespace=system),
        role(signer_name, allow_all((*signer, _EVENTS)), public),
        bind(signer_name, service_account("bootstrap-signer"), manager, namespace=public),
        role(cleaner_name, allow_all(cleaner), system),
        bind(cleaner_name, service_account("token-cleaner"), manager, namespace=system),
    ]
